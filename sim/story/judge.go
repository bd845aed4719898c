package story

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/alloc"
	"github.com/steppe-run/steppe/structs"
)

// judgeVerbs are what is expected, and what is shown.
func judgeVerbs() []verb {
	within := func(i int) func([]string) error { return durationAt(i) }
	return []verb{
		{form: "expect NAME N running within TIME", job: true, do: expectRunning, check: within(2)},
		{form: "expect NAME group GROUP N running within TIME", job: true, do: func(p *Play, args []string) error {
			return p.expectCount(args[0], args[2], args[3], func(a *structs.Allocation) bool {
				return a.TaskGroup == args[1] && runs(a)
			})
		}, check: within(3)},
		{form: "expect NAME N complete within TIME", job: true, do: func(p *Play, args []string) error {
			return p.expectCount(args[0], args[1], args[2], func(a *structs.Allocation) bool {
				return a.ClientStatus == structs.AllocClientComplete && a.DesiredStatus == structs.AllocDesiredRun
			})
		}, check: within(2)},
		{form: "expect NAME on all nodes within TIME", job: true, do: func(p *Play, args []string) error {
			return p.until(args[1], func(s *state.Snapshot) (bool, string) {
				missing := p.missing(s, s.Job(ns, args[0]))
				return len(missing) == 0, strings.Join(missing, "; ")
			})
		}, check: within(1)},
		{form: "expect NAME version N on all within TIME", job: true, do: expectVersion, check: within(2)},
		{form: "expect NAME deployment STATUS within TIME", job: true, do: expectDeployment, check: oneOf("deployment", deploymentStatuses, within(2))},
		{form: "expect NAME job STATUS within TIME", job: true, do: func(p *Play, args []string) error {
			return p.until(args[2], func(s *state.Snapshot) (bool, string) {
				job := s.Job(ns, args[0])
				return job.GetStatus() == args[1], "it is " + job.GetStatus()
			})
		}, check: oneOf("job", jobStatuses, within(2))},
		{form: "expect NAME node STATUS within TIME", do: func(p *Play, args []string) error {
			n, err := p.node(args[0])
			if err != nil {
				return err
			}
			return p.until(args[2], func(s *state.Snapshot) (bool, string) {
				node := s.Node(n.ID())
				if node == nil {
					return false, "it isn't registered"
				}
				return node.Status == args[1], "it is " + node.Status
			})
		}, check: oneOf("node", nodeStatuses, within(2))},
		{form: "expect N nodes held back within TIME", do: func(p *Play, args []string) error {
			n, err := strconv.Atoi(args[0])
			if err != nil {
				return err
			}
			return p.until(args[1], func(s *state.Snapshot) (bool, string) {
				held := 0
				for node := range s.Nodes("") {
					if node.SilentSince != 0 {
						held++
					}
				}
				return held == n, fmt.Sprintf("there are %d", held)
			})
		}, check: within(1)},
		{form: "expect a leader within TIME", do: func(p *Play, args []string) error {
			return p.until(args[0], func(*state.Snapshot) (bool, string) { return p.cluster.Leader() != nil, "there is none" })
		}, check: within(0)},
		{form: "show nodes", do: func(p *Play, _ []string) error { return p.answer(showNodes(p.cluster.Snapshot())) }},
		{form: "show NAME", job: true, do: func(p *Play, args []string) error { return p.answer(show(p.cluster.Snapshot(), args[0])) }},
		{form: "settle", do: func(p *Play, _ []string) error { return p.settle() }},
	}
}

// What a story may expect of a job, a deployment and a node.
var (
	jobStatuses        = []string{structs.JobStatusPending, structs.JobStatusRunning, structs.JobStatusDead}
	deploymentStatuses = []string{
		structs.DeploymentStatusRunning, structs.DeploymentStatusPaused, structs.DeploymentStatusSuccessful,
		structs.DeploymentStatusFailed, structs.DeploymentStatusCancelled,
	}
	nodeStatuses = []string{structs.NodeStatusInit, structs.NodeStatusReady, structs.NodeStatusDisconnected, structs.NodeStatusDown}
)

// oneOf checks the second argument, a status, and then the others.
func oneOf(of string, all []string, others func([]string) error) func([]string) error {
	return func(args []string) error {
		if !slices.Contains(all, args[1]) {
			return fmt.Errorf("%q is no status of a %s: it is one of %s", args[1], of, strings.Join(all, ", "))
		}
		return others(args)
	}
}

// until waits for what is expected.
func (p *Play) until(limit string, holds func(s *state.Snapshot) (bool, string)) error {
	d, err := time.ParseDuration(limit)
	if err != nil {
		return err
	}
	began, why := p.cluster.Now(), ""
	ok := p.lookUntil(d, func() bool {
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
	for a := range alloc.Outlines(s.AllocViewsByJob(ns, job)) {
		if runs(a) {
			out = append(out, a)
		}
	}
	return out
}

func runs(a *structs.Allocation) bool {
	return a.DesiredStatus == structs.AllocDesiredRun && a.ClientStatus == structs.AllocClientRunning
}

func expectRunning(p *Play, args []string) error {
	return p.expectCount(args[0], args[1], args[2], runs)
}

// expectCount waits until so many allocations of a job are as is asked for.
func (p *Play) expectCount(job, count, limit string, counts func(a *structs.Allocation) bool) error {
	want, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	return p.until(limit, func(s *state.Snapshot) (bool, string) {
		n := 0
		for a := range s.AllocsByJob(ns, job) {
			if counts(a) {
				n++
			}
		}
		return n == want, fmt.Sprintf("there are %d", n)
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
