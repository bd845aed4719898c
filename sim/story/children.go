package story

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-run/steppe/server/control"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// childVerbs are about jobs that others are made from.
func childVerbs() []verb {
	return []verb{
		{form: "dispatch NAME ...", job: true, do: doDispatch, check: func(args []string) error {
			_, err := dispatchOf(args)
			return err
		}},
		{form: "launch NAME", job: true, do: func(p *Play, args []string) error {
			return p.ask(func(ctx context.Context, on *control.Control) error {
				_, err := on.ForcePeriodic(ctx, &structs.PeriodicForceRequest{JobID: args[0], WriteRequest: structs.WriteRequest{Namespace: ns}})
				return err
			})
		}},
		{form: "expect NAME N children within TIME", job: true, do: func(p *Play, args []string) error {
			want, err := strconv.Atoi(args[1])
			if err != nil {
				return err
			}
			return p.until(args[2], func(s *state.Snapshot) (bool, string) {
				n := 0
				for range s.JobChildren(ns, args[0]) {
					n++
				}
				return n == want, fmt.Sprintf("there are %d", n)
			})
		}, check: durationAt(2)},
	}
}

// dispatchOf reads "NAME token=T payload=TEXT KEY=VALUE …".
func dispatchOf(args []string) (*structs.JobDispatch, error) {
	d := &structs.JobDispatch{WriteRequest: structs.WriteRequest{Namespace: ns}}
	d.JobID = args[0]
	for _, word := range args[1:] {
		key, value, given := strings.Cut(word, "=")
		switch {
		case !given:
			return nil, fmt.Errorf("%q is not KEY=VALUE", word)
		case key == "token":
			d.IdempotencyToken = value
		case key == "payload":
			d.Payload = []byte(value)
		case key == "payload_bytes":
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 || n > 1<<20 {
				return nil, fmt.Errorf("%q is no number of bytes up to a million", value)
			}
			d.Payload = make([]byte, n)
		case d.Meta == nil:
			d.Meta = map[string]string{key: value}
		default:
			d.Meta[key] = value
		}
	}
	return d, nil
}

func doDispatch(p *Play, args []string) error {
	d, err := dispatchOf(args)
	if err != nil {
		return err
	}
	return p.ask(func(ctx context.Context, on *control.Control) error {
		answer, err := on.DispatchJob(ctx, d)
		if err == nil {
			p.dispatched(on.Store().Snapshot(), d, answer.DispatchedJobID)
		}
		return err
	})
}

// dispatched compares what a dispatch was answered with what there is.
func (p *Play) dispatched(s *state.Snapshot, d *structs.JobDispatch, id string) {
	job := s.Job(ns, id)
	switch {
	case job == nil && p.collected: // it may have ended and be swept before the answer came
	case job == nil:
		p.fail(fmt.Sprintf("job %s is said to be dispatched, and isn't there", id))
	case d.IdempotencyToken != structs.Value(job.DispatchIdempotencyToken):
		p.fail(fmt.Sprintf("the dispatch with token %q is answered with job %s of token %q", d.IdempotencyToken, id, structs.Value(job.DispatchIdempotencyToken)))
	}
}

// judgeLaunches looks for launches that were due and neither made nor left out,
// while there is a leader and nothing fails.
func (p *Play) judgeLaunches(s *state.Snapshot) {
	const late = 10 * time.Second
	for job := range s.Jobs(structs.AllNamespaces, "") {
		if !job.IsPeriodicActive() {
			continue
		}
		schedule, err := job.Periodic.Schedule()
		if err != nil {
			p.fail(fmt.Sprintf("the schedule of job %s can't be read: %s", job.GetID(), err))
			continue
		}
		from := time.Unix(0, structs.Value(job.SubmitTime))
		if until := time.Unix(s.LaunchedUntil(job.GetNamespace(), job.GetID()), 0); until.After(from) {
			from = until
		}
		if n := schedule.Count(from, p.cluster.Now().Add(-late), 10); n > 0 {
			p.fail(fmt.Sprintf("%d launches of job %s after %s were forgotten", n, job.GetID(), from.UTC().Format(time.RFC3339)))
		}
	}
}

// disable has periodic jobs launch nothing more: else there were never quiet.
func (p *Play) disable() error {
	for job := range p.cluster.Snapshot().Jobs(structs.AllNamespaces, "") {
		if !job.IsPeriodicActive() {
			continue
		}
		last := job.Clone()
		last.Periodic.Enabled = new(bool)
		err := p.ask(func(ctx context.Context, on *control.Control) error {
			_, err := on.RegisterJob(ctx, &structs.JobRegisterRequest{Job: last.Clone()})
			return err
		})
		if err != nil {
			return fmt.Errorf("disable periodic job %s: %w", job.GetID(), err)
		}
	}
	return nil
}

// showChildren tells of the jobs that were made from a job: launches by their
// time, dispatches by their number.
func showChildren(b *strings.Builder, s *state.Snapshot, parent *structs.Job) {
	tally := tally{}
	for c := range s.JobChildren(ns, parent.GetID()) {
		_, name, _ := strings.Cut(c.GetID(), parent.GetID()+"/")
		if at, err := strconv.ParseInt(strings.TrimPrefix(name, "periodic-"), 10, 64); err == nil {
			fmt.Fprintf(b, "launch of %s: %s\n", time.Unix(at, 0).UTC().Format(time.RFC3339), c.GetStatus())
			continue
		}
		if token := structs.Value(c.DispatchIdempotencyToken); token != "" {
			tally.add(fmt.Sprintf("dispatch with token %s: %s", token, c.GetStatus()))
			continue
		}
		tally.add("dispatches: " + c.GetStatus())
	}
	tally.write(b, "%d %s\n")
}
