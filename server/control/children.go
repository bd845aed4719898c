package control

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/squeeze"
	"github.com/steppe-run/steppe/server/periodic"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// Rhythm of launches.
const (
	// launchPoll is how often the clock is looked at: it may be set meanwhile.
	launchPoll = 5 * time.Second
	// launchBatch is how many launches are settled by one entry.
	launchBatch = 64
	// childTries is how often a child is made anew whose parent changed under it.
	childTries = 5
	// forceBack is how many seconds back a forced launch looks for one whose ID
	// is free.
	forceBack = 60
)

// launchLoop launches periodic jobs.
type launchLoop struct {
	s    *Control
	core *periodic.Launcher
	bell bell

	mu    sync.Mutex
	all   bool // all jobs are to be looked at
	noted []structs.NamespacedID
}

func newLaunchLoop(s *Control) *launchLoop {
	return &launchLoop{s: s, core: periodic.New(s.cfg.NewID), bell: newBell()}
}

// reset has all jobs looked at.
func (l *launchLoop) reset() {
	l.mu.Lock()
	l.all = true
	l.mu.Unlock()
	l.bell.ring()
}

// note has a job looked at that changed, if it is or was periodic.
func (l *launchLoop) note(old, job *structs.Job) {
	for _, j := range []*structs.Job{old, job} {
		if j != nil && j.IsPeriodic() {
			l.mu.Lock()
			l.noted = append(l.noted, j.NamespacedID())
			l.mu.Unlock()
			l.bell.ring()
			return
		}
	}
}

func (l *launchLoop) run(ctx context.Context) error {
	var next time.Time
	for {
		if err := l.s.wait(ctx, l.bell, next); err != nil {
			return err
		}
		next = l.step(ctx)
	}
}

func (l *launchLoop) step(ctx context.Context) time.Time {
	l.mu.Lock()
	all, noted := l.all, l.noted
	l.all, l.noted = false, nil
	l.mu.Unlock()
	snap := l.s.store.Snapshot()
	if all {
		l.core.Reset(snap)
	}
	for _, key := range noted {
		l.core.Note(key)
	}
	now := l.s.cfg.Clock.Now()
	due, next := l.core.Step(snap, now)
	if err := l.s.settle(ctx, due, now); err != nil {
		if !leaderGone(err) {
			l.s.log.Warn("launches of periodic jobs could not be stored; this is retried", logx.KeyCount, len(due), logx.KeyError, err)
		}
		return now.Add(retryPause)
	}
	if len(due) > 0 {
		l.bell.ring() // to see when those jobs are launched next
	}
	if poll := now.Add(launchPoll); !l.core.Idle() && (next.IsZero() || poll.Before(next)) {
		next = poll
	}
	return next
}

// settle stores what was decided about launches. One that can't be made is left
// out and told: else it would be tried for ever.
func (s *Control) settle(ctx context.Context, due []periodic.Decision, now time.Time) error {
	for len(due) > 0 {
		batch := due[:min(len(due), launchBatch)]
		due = due[len(batch):]
		c := &command.LaunchJobs{Now: now.UnixNano()}
		for i := range batch {
			c.Launches = append(c.Launches, batch[i].Launch)
		}
		result, err := commit[*state.LaunchResult](ctx, s, c)
		if err != nil {
			return err
		}
		left := &command.LaunchJobs{Now: now.UnixNano()}
		for i := range batch {
			switch why := result.Refused[i]; {
			case why == nil:
				s.tellLaunch(&batch[i])
			case !outpaced(why):
				s.log.Warn("a launch of a periodic job can't be made and is left out", logx.KeyNamespace, batch[i].Launch.Namespace,
					logx.KeyJob, batch[i].Launch.JobID, logx.KeyReason, why.Error())
				l := batch[i].Launch
				l.Job, l.Eval = nil, nil
				l.Note = "launch of " + batch[i].Due.UTC().Format(time.RFC3339) + " left out: " + why.Error()
				left.Launches = append(left.Launches, l)
			}
		}
		if len(left.Launches) == 0 {
			continue
		}
		if _, err := commit[*state.LaunchResult](ctx, s, left); err != nil {
			return err
		}
	}
	return nil
}

// outpaced reports whether a launch was refused because something happened since
// it was decided: then it is decided again.
func outpaced(why error) bool {
	var conflict *state.ConflictError
	return errors.Is(why, state.ErrLaunchSettled) || errors.Is(why, state.ErrLaunchOverlaps) || errors.Is(why, structs.ErrJobNotFound) ||
		errors.As(why, &conflict)
}

func (s *Control) tellLaunch(d *periodic.Decision) {
	if !d.Remarkable() {
		return
	}
	log := s.log.Warn
	if d.Overlap && d.Missed == 0 {
		log = s.log.Info
	}
	log("a launch of a periodic job was not as its schedule says", logx.KeyNamespace, d.Launch.Namespace,
		logx.KeyJob, d.Launch.JobID, logx.KeyReason, d.Launch.Note)
}

// settleDue makes the launch of a job that is due now, if there is one, before
// what follows it is changed.
func (s *Control) settleDue(ctx context.Context, key structs.NamespacedID) error {
	snap := s.store.Snapshot()
	if j := snap.Job(key.Namespace, key.ID); j == nil || !j.IsPeriodicActive() {
		return nil
	}
	now := s.cfg.Clock.Now()
	d, due := periodic.New(s.cfg.NewID).Due(snap, key, now)
	if !due {
		return nil
	}
	return s.settle(ctx, []periodic.Decision{d}, now)
}

// ForcePeriodic launches a periodic job now, whatever its schedule says and
// whether or not an earlier launch is done.
func (s *Control) ForcePeriodic(ctx context.Context, req *structs.PeriodicForceRequest) (*structs.PeriodicForceResponse, error) {
	key := structs.NamespacedID{Namespace: req.Namespace, ID: req.JobID}
	if err := s.settleDue(ctx, key); err != nil {
		return nil, err
	}
	now := s.cfg.Clock.Now()
	var last error
	for back, tries := 0, 0; back < forceBack && tries < childTries; back++ {
		snap := s.store.Snapshot()
		job := snap.Job(key.Namespace, key.ID)
		if err := mayForce(job, key.ID); err != nil {
			return nil, err
		}
		at := now.Add(-time.Duration(back) * time.Second)
		if snap.Job(key.Namespace, job.LaunchID(at)) != nil {
			continue // each launch has a second of its own
		}
		tries++
		child := job.Launch(at, now)
		launch := command.Launch{
			Namespace: key.Namespace, JobID: key.ID, ParentModifyIndex: job.GetJobModifyIndex(), Instant: at.Unix(), Forced: true,
			Job: child, Eval: s.evals.New(child, structs.TriggerPeriodicJob, now),
		}
		result, err := commit[*state.LaunchResult](ctx, s, &command.LaunchJobs{Launches: []command.Launch{launch}, Now: now.UnixNano()})
		if err != nil {
			return nil, err
		}
		last = result.Refused[0]
		switch {
		case last == nil:
			resp := &structs.PeriodicForceResponse{EvalID: launch.Eval.ID, EvalCreateIndex: result.Index}
			resp.LastIndex = result.Index
			return resp, nil
		case !outpaced(last) && !errors.Is(last, state.ErrChildExists):
			return nil, last
		}
		back-- // the same second again, unless it is taken now
	}
	if last == nil {
		last = state.ErrChildExists
	}
	return nil, structs.NewError(structs.KindUnavailable, "job %q could not be launched now, try again: %v", key.ID, last)
}

func mayForce(job *structs.Job, id string) error {
	switch {
	case job == nil:
		return structs.ErrJobNotFound
	case !job.IsPeriodic():
		return structs.NewError(structs.KindRefused, "job %q is not periodic: it can't be launched by force", id)
	case job.Stopped():
		return structs.NewError(structs.KindRefused, "job %q is stopped: register it again before it is launched", id)
	}
	return nil
}

// uniqueDigits is how much of an identifier tells dispatches of a second apart.
const uniqueDigits = 8

// DispatchJob makes a job from a parameterized one. The same token makes one
// only, however often and of whomever it is asked.
func (s *Control) DispatchJob(ctx context.Context, d *structs.JobDispatch) (*structs.JobDispatchResponse, error) {
	var last error
	for range childTries {
		snap := s.store.Snapshot()
		parent := snap.Job(d.Namespace, d.JobID)
		if parent == nil {
			return nil, structs.ErrJobNotFound
		}
		if snap.SchedulerConfig().RejectJobRegistration {
			return nil, structs.ErrRegistrationDisabled
		}
		if err := parent.CheckDispatch(d); err != nil {
			return nil, err
		}
		now := s.cfg.Clock.Now()
		child := parent.Dispatch(d, squeeze.Pack(d.Payload), now, s.cfg.NewID()[:uniqueDigits])
		eval := s.evals.New(child, structs.TriggerJobRegister, now)
		result, err := commit[*state.JobResult](ctx, s, &command.DispatchJob{
			Job: child, ParentModifyIndex: parent.GetJobModifyIndex(), Eval: eval, Now: now.UnixNano(),
		})
		switch {
		case err == nil && result.Existing != "":
			return s.dispatched(d.Namespace, result), nil
		case err == nil:
			resp := &structs.JobDispatchResponse{
				DispatchedJobID: child.GetID(), EvalID: eval.ID, EvalCreateIndex: result.Index, JobCreateIndex: result.Index,
			}
			resp.LastIndex = result.Index
			return resp, nil
		case !outpaced(err) && !errors.Is(err, state.ErrChildExists):
			return nil, err
		}
		last = err
	}
	return nil, structs.NewError(structs.KindUnavailable, "job %q changes too fast to be dispatched, try again: %v", d.JobID, last)
}

// dispatched answers for a dispatch that had been made before, with its first
// evaluation if that is still known.
func (s *Control) dispatched(namespace string, result *state.JobResult) *structs.JobDispatchResponse {
	snap := s.store.Snapshot()
	resp := &structs.JobDispatchResponse{DispatchedJobID: result.Existing}
	resp.LastIndex = result.Index
	if j := snap.Job(namespace, result.Existing); j != nil {
		resp.JobCreateIndex = j.GetCreateIndex()
	}
	for e := range snap.EvalsByJob(namespace, result.Existing) {
		resp.EvalID, resp.EvalCreateIndex = e.ID, e.CreateIndex
		break
	}
	return resp
}

// firstEval is the evaluation that a registration calls for. A job that others
// are made from isn't run itself: it needs one only to end what it was before.
func (s *Control) firstEval(existing, job *structs.Job, now time.Time) *structs.Evaluation {
	if job.IsTemplate() && (existing == nil || existing.IsTemplate()) {
		return nil
	}
	return s.evals.New(job, structs.TriggerJobRegister, now)
}
