package story

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// judgeVerbs are what is expected, and what is shown.
func judgeVerbs() []verb {
	within := func(i int) func([]string) error { return durationAt(i) }
	return []verb{
		{form: "expect NAME N running within TIME", do: expectRunning, check: within(2)},
		{form: "expect NAME version N on all within TIME", do: expectVersion, check: within(2)},
		{form: "expect NAME deployment STATUS within TIME", do: expectDeployment, check: within(2)},
		{form: "expect NAME job STATUS within TIME", do: func(p *Play, args []string) error {
			return p.until(args[2], func(s *state.Snapshot) (bool, string) {
				job := s.Job(ns, args[0])
				return job.GetStatus() == args[1], "it is " + job.GetStatus()
			})
		}, check: within(2)},
		{form: "expect NAME node STATUS within TIME", do: func(p *Play, args []string) error {
			n, err := p.node(args[0])
			if err != nil {
				return err
			}
			return p.until(args[2], func(s *state.Snapshot) (bool, string) {
				node := s.Node(n.ID())
				return node != nil && node.Status == args[1], fmt.Sprintf("it is %v", node)
			})
		}, check: within(2)},
		{form: "expect a leader within TIME", do: func(p *Play, args []string) error {
			return p.until(args[0], func(*state.Snapshot) (bool, string) { return p.cluster.Leader() != nil, "there is none" })
		}, check: within(0)},
		{form: "show NAME", do: doShow},
		{form: "settle", do: func(p *Play, _ []string) error { return p.settle() }},
	}
}

// until waits for what is expected.
func (p *Play) until(limit string, holds func(s *state.Snapshot) (bool, string)) error {
	d, err := time.ParseDuration(limit)
	if err != nil {
		return err
	}
	began, why := p.cluster.Now(), ""
	ok := p.cluster.Until(d, func() bool {
		snap := p.cluster.Snapshot()
		if snap == nil {
			why = "every server is down"
			return false
		}
		var ok bool
		ok, why = holds(snap)
		return ok
	})
	if !ok {
		return fmt.Errorf("not within %s: %s", d, why)
	}
	p.trace("          came after %s\n", p.cluster.Now().Sub(began))
	return nil
}

func running(s *state.Snapshot, job string) []*structs.Allocation {
	var out []*structs.Allocation
	for a := range s.AllocsByJob(ns, job) {
		if a.DesiredStatus == structs.AllocDesiredRun && a.ClientStatus == structs.AllocClientRunning {
			out = append(out, a)
		}
	}
	return out
}

func expectRunning(p *Play, args []string) error {
	want, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	return p.until(args[2], func(s *state.Snapshot) (bool, string) {
		n := len(running(s, args[0]))
		return n == want, fmt.Sprintf("%d run", n)
	})
}

func expectVersion(p *Play, args []string) error {
	version, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return err
	}
	return p.until(args[2], func(s *state.Snapshot) (bool, string) {
		allocs := running(s, args[0])
		for _, a := range allocs {
			if a.JobVersion() != version {
				return false, fmt.Sprintf("%s is of version %d", a.Name, a.JobVersion())
			}
		}
		return len(allocs) > 0, "none runs"
	})
}

func expectDeployment(p *Play, args []string) error {
	return p.until(args[2], func(s *state.Snapshot) (bool, string) {
		d := s.LatestDeployment(ns, args[0])
		if d == nil {
			return args[1] == "none", "there is none"
		}
		return d.Status == args[1], fmt.Sprintf("it is %s: %s", d.Status, d.StatusDescription)
	})
}

// doShow compares what is shown with the answer that the story has.
func doShow(p *Play, args []string) error {
	text := show(p.cluster.Snapshot(), args[0])
	if p.options.Rewrite {
		p.line.Answer = text
		return nil
	}
	for line := range strings.Lines(text) {
		p.trace("          | %s", line)
	}
	if p.line.Answer != "" && text != p.line.Answer {
		return fmt.Errorf("want\n%sgot\n%s", p.line.Answer, text)
	}
	return nil
}

// show tells of a job what a person would ask about.
func show(s *state.Snapshot, name string) string {
	job := s.Job(ns, name)
	if job == nil {
		return "no such job\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "job %s version %d: %s\n", name, job.GetVersion(), job.GetStatus())
	if d := s.LatestDeployment(ns, name); d != nil {
		fmt.Fprintf(&b, "deployment of version %d: %s: %s\n", d.JobVersion, d.Status, d.StatusDescription)
	}
	counts := map[string]int{}
	for a := range s.AllocsByJob(ns, name) {
		key := fmt.Sprintf("version %d %s/%s", a.JobVersion(), a.DesiredStatus, a.ClientStatus)
		if a.DeploymentStatus.IsCanary() {
			key += " canary"
		}
		if a.DesiredDescription != "" {
			key += ": " + a.DesiredDescription
		}
		counts[key]++
	}
	keys := make([]string, 0, len(counts))
	for key := range counts {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		fmt.Fprintf(&b, "%d of %s\n", counts[key], key)
	}
	return b.String()
}
