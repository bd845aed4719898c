package state

import (
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/state/tables"
	"github.com/steppe-run/steppe/structs"
)

// What is made from a job that isn't run itself: dispatches of parameterized
// jobs, launches of periodic ones.

func (tx *txn) dispatchJob(c *command.DispatchJob) (any, error) {
	tx.now = c.Now
	parent, err := tx.template(c.Job, c.ParentModifyIndex)
	if err != nil {
		return nil, err
	}
	if !parent.IsParameterized() || parent.Stopped() {
		return nil, structs.NewError(structs.KindInvalid, "job %q takes no dispatches: it is stopped or not parameterized any more", parent.GetID())
	}
	if twin := tx.dispatched(c.Job); twin != nil {
		return existingResult(tx.Index, twin), nil
	}
	if err := tx.mayAdd(c.Job); err != nil {
		return nil, err
	}
	return tx.addChild(c.Job, c.Eval), nil
}

// dispatched returns the job that the same idempotency token has made.
func (tx *txn) dispatched(j *structs.Job) *structs.Job {
	token := structs.Value(j.DispatchIdempotencyToken)
	if token == "" || j.GetParentID() == "" {
		return nil
	}
	return tx.Dispatched(parentOf(j), token)
}

func existingResult(index uint64, twin *structs.Job) *JobResult {
	return &JobResult{Index: index, JobModifyIndex: twin.GetJobModifyIndex(), Version: twin.GetVersion(), Existing: twin.GetID()}
}

func parentOf(j *structs.Job) structs.NamespacedID {
	return structs.NamespacedID{Namespace: j.GetNamespace(), ID: j.GetParentID()}
}

// template returns the job that a child is made from, if its specification is
// still the one that was looked at.
func (tx *txn) template(child *structs.Job, modifyIndex uint64) (*structs.Job, error) {
	if child == nil || child.GetID() == "" {
		return nil, structs.NewError(structs.KindInvalid, "a child of a job needs an ID")
	}
	return tx.unchanged(parentOf(child), modifyIndex)
}

// unchanged returns a job whose specification must be as it was at an index.
func (tx *txn) unchanged(key structs.NamespacedID, index uint64) (*structs.Job, error) {
	j := tx.Job(key)
	if j == nil {
		return nil, structs.ErrJobNotFound
	}
	if have := j.GetJobModifyIndex(); have != index {
		return nil, &ConflictError{What: "job " + key.ID, Want: index, Have: have}
	}
	return j, nil
}

// mayAdd says why a child can't be stored, if it can't.
func (tx *txn) mayAdd(child *structs.Job) error {
	if tx.Job(child.NamespacedID()) != nil {
		return ErrChildExists
	}
	return tx.mayHold(child)
}

func (tx *txn) addChild(child *structs.Job, e *structs.Evaluation) *JobResult {
	stored, changed := tx.upsertJob(child.NamespacedID(), child)
	tx.upsertEvalOf(stored, e)
	return jobResult(tx.Index, stored, changed)
}

func (tx *txn) launchJobs(c *command.LaunchJobs) (any, error) {
	tx.now = c.Now
	result := &LaunchResult{Index: tx.Index}
	for i := range c.Launches {
		if err := tx.launch(&c.Launches[i]); err != nil {
			if result.Refused == nil {
				result.Refused = map[int]error{}
			}
			result.Refused[i] = err
		}
	}
	return result, nil
}

// launch settles one launch. It changes nothing if it refuses.
func (tx *txn) launch(l *command.Launch) error {
	key := structs.NamespacedID{Namespace: l.Namespace, ID: l.JobID}
	parent, err := tx.unchanged(key, l.ParentModifyIndex)
	if err != nil {
		return err
	}
	child, add := l.Job, l.Job != nil
	if !l.Forced {
		if until := tx.settled(key); until != l.After || l.Instant <= until || !parent.IsPeriodicActive() {
			return ErrLaunchSettled
		}
		// It may have been launched for this very instant by a user, or by the job
		// of this name before it was purged.
		add = add && tx.Job(child.NamespacedID()) == nil
	}
	if add {
		if parentOf(child) != key || child.GetID() == "" || child.GetID() == key.ID {
			return structs.NewError(structs.KindInvalid, "job %q is no child of job %q", child.GetID(), key.ID)
		}
		if l.Alone && tx.busy(key) {
			return ErrLaunchOverlaps
		}
		if err := tx.mayAdd(child); err != nil {
			return err
		}
		tx.addChild(child, l.Eval)
	}
	if !l.Forced {
		tx.Launches.Set(tables.Item[tables.Launched]{A: key.Namespace, B: key.ID, V: &tables.Launched{
			Namespace: key.Namespace, JobID: key.ID, Until: l.Instant, ModifyIndex: tx.Index,
		}})
	}
	if l.Note != "" {
		note := l.Note
		tx.changeVersion(key, parent.GetVersion(), func(j *structs.Job) { j.StatusDescription = &note })
	}
	return nil
}

// settled is the last launch of a periodic job that was made or left out, 0 if
// there was none.
func (tx *txn) settled(key structs.NamespacedID) int64 {
	if l := tx.Launches.Find(key.Namespace, key.ID, 0); l != nil {
		return l.Until
	}
	return 0
}

// busy reports whether a child of the job isn't done. Children that this entry
// has stored count.
func (tx *txn) busy(key structs.NamespacedID) bool {
	s := tx.summaryOf(key)
	return s != nil && s.Children != nil && s.Children.Pending+s.Children.Running > 0
}
