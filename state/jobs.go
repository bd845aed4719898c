package state

import (
	"slices"

	"github.com/steppe-run/steppe/state/alloc"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/state/tables"
	"github.com/steppe-run/steppe/structs"
)

func (tx *txn) registerJob(c *command.RegisterJob) (any, error) {
	if c.Job == nil || c.Job.GetID() == "" {
		return nil, structs.NewError(structs.KindInvalid, "a registration needs a job with an ID")
	}
	tx.now = c.Now
	key := c.Job.NamespacedID()
	existing := tx.Job(key)
	if c.EnforceIndex && modifyIndex(existing) != c.JobModifyIndex {
		return nil, &structs.EnforceIndexError{Want: c.JobModifyIndex, Have: modifyIndex(existing)}
	}
	if err := tx.mayHold(c.Job); err != nil {
		return nil, err
	}
	if twin := tx.dispatched(c.Job); twin != nil && twin.GetID() != key.ID {
		return existingResult(tx.Index, twin), nil
	}
	job := c.Job
	if c.PreserveCounts && !existing.Stopped() {
		job = withCounts(job, existing)
	}
	if c.PreserveResources && !existing.Stopped() {
		job = withResources(job, existing)
	}
	stored, changed := tx.upsertJob(key, job)
	if changed {
		tx.storeSubmission(key, stored.GetVersion(), c.Submission)
		tx.cancelDeployments(key, structs.DescDeploymentNewerJob)
	}
	tx.recordScaling(key, c)
	tx.upsertEvalOf(stored, c.Eval)
	return jobResult(tx.Index, stored, changed), nil
}

func jobResult(index uint64, j *structs.Job, changed bool) *JobResult {
	return &JobResult{Index: index, JobModifyIndex: j.GetJobModifyIndex(), Version: j.GetVersion(), Changed: changed}
}

// mayHold refuses a job whose namespace or node pool is not there.
func (tx *txn) mayHold(j *structs.Job) error {
	if tx.Namespaces.Find("", j.GetNamespace(), 0) == nil {
		return structs.NewError(structs.KindInvalid, "job %q is in nonexistent namespace %q", j.GetID(), j.GetNamespace())
	}
	if tx.Pools.Find("", j.GetNodePool(), 0) == nil {
		return structs.NewError(structs.KindInvalid, "job %q is in nonexistent node pool %q", j.GetID(), j.GetNodePool())
	}
	return nil
}

// withCounts returns the job with the counts that its groups have now.
func withCounts(j, existing *structs.Job) *structs.Job {
	next := *j
	next.TaskGroups = slices.Clone(j.TaskGroups)
	for i, g := range next.TaskGroups {
		if g == nil {
			continue
		}
		if now := existing.LookupTaskGroup(g.GetName()); now != nil {
			group := *g
			group.Count = now.Count
			next.TaskGroups[i] = &group
		}
	}
	return &next
}

// withResources is the job with the resources that its tasks have now. Tasks
// and groups that are new keep what the job says.
func withResources(j, existing *structs.Job) *structs.Job {
	next := *j
	next.TaskGroups = slices.Clone(j.TaskGroups)
	for i, g := range next.TaskGroups {
		if g == nil {
			continue
		}
		now := existing.LookupTaskGroup(g.GetName())
		if now == nil {
			continue
		}
		group := *g
		group.Tasks = slices.Clone(g.Tasks)
		for k, t := range group.Tasks {
			if t == nil {
				continue
			}
			if was := now.LookupTask(t.Name); was != nil {
				task := *t
				task.Resources = was.Resources
				group.Tasks[k] = &task
			}
		}
		next.TaskGroups[i] = &group
	}
	return &next
}

// upsertJob stores a specification as a new version, unless it is what is
// stored already.
func (tx *txn) upsertJob(key structs.NamespacedID, spec *structs.Job) (stored *structs.Job, changed bool) {
	existing := tx.Job(key)
	next := *spec
	next.TaskGroups = present(spec.TaskGroups)
	if next.Stop == nil {
		next.Stop = new(bool)
	}
	if existing != nil && !structs.SpecChanged(existing, &next) && existing.Stopped() == next.Stopped() {
		return existing, false
	}
	version, created, status, stable := uint64(0), tx.Index, structs.JobStatusPending, false
	if existing != nil {
		version, created, status = existing.GetVersion()+1, existing.GetCreateIndex(), existing.GetStatus()
	}
	index := tx.Index
	next.Namespace, next.Version, next.Status, next.Stable = &key.Namespace, &version, &status, &stable
	next.CreateIndex, next.ModifyIndex, next.JobModifyIndex = &created, &index, &index
	next.VersionTag = nil
	if next.SubmitTime == nil {
		now := tx.now
		next.SubmitTime = &now
	}
	tx.storeJob(key, &next)
	tx.pruneVersions(key)
	tx.summarize(key, &next)
	if existing != nil {
		tx.Unlink(existing)
		tx.countChild(existing, status, -1)
	}
	tx.Link(&next)
	tx.countChild(&next, status, 1)
	tx.statsOf(key) // the status rule looks at the specification too
	var old any
	if existing != nil {
		old = existing
	}
	if next.Stopped() && existing != nil {
		tx.cancelBlocked(key, "the job was stopped", nil)
	}
	tx.emit(feed.JobRegistered, old, &next)
	return &next, true
}

// storeJob stores a job's current version.
func (tx *txn) storeJob(key structs.NamespacedID, j *structs.Job) {
	tx.SetJob(key, j)
	tx.storeVersion(key, j)
	tx.touch(feed.TableJobs)
}

func (tx *txn) storeVersion(key structs.NamespacedID, j *structs.Job) {
	tx.Versions.Set(tables.Item[structs.Job]{A: key.Namespace, B: key.ID, N: j.GetVersion(), V: j})
	tx.touch(feed.TableJobVersions)
}

// pruneVersions keeps the newest versions, the newest stable one and those
// that carry a tag.
func (tx *txn) pruneVersions(key structs.NamespacedID) {
	stableKept := false
	for i, j := range tx.JobVersions(key) {
		stable := j.IsStable() && !stableKept
		stableKept = stableKept || stable
		if i < structs.JobTrackedVersions || stable || j.VersionTag != nil {
			continue
		}
		tx.removeVersion(key, j)
	}
}

// removeVersion forgets a version of a job. Who follows the state hears of it.
func (tx *txn) removeVersion(key structs.NamespacedID, j *structs.Job) {
	tx.Versions.Delete(tables.Item[structs.Job]{A: key.Namespace, B: key.ID, N: j.GetVersion()})
	tx.Submissions.Delete(tables.Item[structs.JobSubmission]{A: key.Namespace, B: key.ID, N: j.GetVersion()})
	tx.emit(feed.JobVersionRemoved, j, nil)
}

// summarize sees to it that the job has a summary with all its groups.
func (tx *txn) summarize(key structs.NamespacedID, j *structs.Job) {
	s := tx.summaryOf(key)
	if s == nil {
		s = &structs.JobSummary{
			JobID: key.ID, Namespace: key.Namespace, CreateIndex: tx.Index,
			Summary: map[string]structs.TaskGroupSummary{}, Children: &structs.JobChildrenSummary{},
		}
		for child := range tx.ChildrenOf(key) { // of a job of this name before
			*childCount(s.Children, child.GetStatus())++
		}
		tx.setSummary(key, s)
	}
	for _, g := range j.TaskGroups {
		if _, ok := s.Summary[g.GetName()]; !ok {
			s.Summary[g.GetName()] = structs.TaskGroupSummary{}
		}
	}
}

func (tx *txn) storeSubmission(key structs.NamespacedID, version uint64, sub *structs.JobSubmission) {
	if sub == nil {
		return
	}
	tx.Submissions.Set(tables.Item[structs.JobSubmission]{A: key.Namespace, B: key.ID, N: version, V: sub})
	tx.touch(feed.TableJobSubmissions)
}

func (tx *txn) recordScaling(key structs.NamespacedID, c *command.RegisterJob) {
	if len(c.Scaling) == 0 {
		return
	}
	log := &tables.ScalingLog{Namespace: key.Namespace, JobID: key.ID, Groups: map[string][]*structs.ScalingEvent{}}
	if old := tx.Scaling.Find(key.Namespace, key.ID, 0); old != nil {
		for group, events := range old.Groups {
			log.Groups[group] = events
		}
	}
	for group, e := range c.Scaling {
		if e == nil {
			continue
		}
		event := *e
		event.CreateIndex = tx.Index
		events := append([]*structs.ScalingEvent{&event}, log.Groups[group]...)
		log.Groups[group] = events[:min(len(events), tables.MaxScalingEvents)]
	}
	tx.Scaling.Set(tables.Item[tables.ScalingLog]{A: key.Namespace, B: key.ID, V: log})
	tx.touch(feed.TableScalingEvents)
}

func (tx *txn) deregisterJob(c *command.DeregisterJob) (any, error) {
	tx.now = c.Now
	key := structs.NamespacedID{Namespace: c.Namespace, ID: c.JobID}
	job := tx.Job(key)
	if job == nil {
		return nil, structs.ErrJobNotFound
	}
	tx.cancelDeployments(key, structs.DescDeploymentStopped)
	if c.NoShutdownDelay {
		tx.skipShutdownDelay(key)
	}
	if c.Purge {
		tx.removeJob(key, job)
		if c.Eval != nil {
			e := *c.Eval
			e.JobModifyIndex = tx.Index
			tx.upsertEval(&e)
		}
		return &JobResult{Index: tx.Index, JobModifyIndex: tx.Index, Version: job.GetVersion(), Changed: true}, nil
	}
	changed := !job.Stopped()
	if changed {
		stopped, stop := *job, true
		stopped.Stop = &stop
		job, _ = tx.upsertJob(key, &stopped)
		tx.events[len(tx.events)-1].Rename(feed.JobDeregistered)
	}
	tx.upsertEvalOf(job, c.Eval)
	return jobResult(tx.Index, job, changed), nil
}

// removeJob removes a job and what belongs to it alone.
func (tx *txn) removeJob(key structs.NamespacedID, job *structs.Job) {
	for _, j := range slices.Backward(tx.JobVersions(key)) {
		tx.removeVersion(key, j)
	}
	tx.cancelBlocked(key, "the job was stopped", nil)
	tx.Jobs.Delete(tables.Item[structs.Job]{A: key.Namespace, B: key.ID})
	tx.EveryNode.Delete(tables.Item[structs.Job]{A: key.Namespace, B: key.ID})
	tx.Summaries.Delete(tables.Item[structs.JobSummary]{A: key.Namespace, B: key.ID})
	delete(tx.pendingSummaries, key)
	tx.Scaling.Delete(tables.Item[tables.ScalingLog]{A: key.Namespace, B: key.ID})
	tx.Launches.Delete(tables.Item[tables.Launched]{A: key.Namespace, B: key.ID})
	tx.Unlink(job)
	tx.countChild(job, job.GetStatus(), -1)
	for _, t := range []feed.Table{feed.TableJobs, feed.TableJobVersions, feed.TableJobSubmissions, feed.TableJobSummaries, feed.TableScalingEvents} {
		tx.touch(t)
	}
	tx.emit(feed.JobDeregistered, job, nil)
}

func (tx *txn) skipShutdownDelay(key structs.NamespacedID) {
	yes := true
	for _, v := range liveViews(tx.Allocs.ByJob(key.Namespace, key.ID)) {
		tx.changeRow(v, feed.AllocDesired, func(r *alloc.Row) {
			d := r.Decision()
			d.Transition.NoShutdownDelay = &yes
			r.Decided = d
		})
	}
}

func (tx *txn) markJobStable(c *command.MarkJobStable) (any, error) {
	tx.now = c.Now
	key := structs.NamespacedID{Namespace: c.Namespace, ID: c.JobID}
	j := tx.setStable(key, c.JobVersion, c.Stable)
	if j == nil {
		return nil, structs.ErrJobVersionsNotFound
	}
	return jobResult(tx.Index, j, true), nil
}

func (tx *txn) setStable(key structs.NamespacedID, version uint64, stable bool) *structs.Job {
	return tx.changeVersion(key, version, func(j *structs.Job) { j.Stable = &stable })
}

// changeVersion changes a version of a job, not its specification.
func (tx *txn) changeVersion(key structs.NamespacedID, version uint64, change func(*structs.Job)) *structs.Job {
	j := tx.Versions.Find(key.Namespace, key.ID, version)
	if j == nil {
		return nil
	}
	next, index := *j, tx.Index
	change(&next)
	next.ModifyIndex = &index
	if current := tx.Job(key); current != nil && current.GetVersion() == version {
		tx.storeJob(key, &next)
	} else {
		tx.storeVersion(key, &next)
	}
	return &next
}

func (tx *txn) tagJobVersion(c *command.TagJobVersion) (any, error) {
	key := structs.NamespacedID{Namespace: c.Namespace, ID: c.JobID}
	if tx.Job(key) == nil {
		return nil, structs.ErrJobNotFound
	}
	var tagged *structs.Job
	for j := range tx.Versions.Under(key.Namespace, key.ID) {
		if j.VersionTag != nil && j.VersionTag.Name == c.Name {
			tagged = j
		}
	}
	version := c.JobVersion
	switch {
	case c.Tag == nil && tagged == nil:
		return nil, structs.NewError(structs.KindNotFound, "tag %q not found on job %q", c.Name, c.JobID)
	case c.Tag == nil:
		version = tagged.GetVersion()
	case tagged != nil && tagged.GetVersion() != c.JobVersion:
		return nil, structs.NewError(structs.KindRefused, "tag %q already exists on a different version of job %q: %d", c.Name, c.JobID, tagged.GetVersion())
	}
	j := tx.changeVersion(key, version, func(j *structs.Job) { j.VersionTag = tagNamed(c.Tag, c.Name) })
	if j == nil {
		return nil, structs.VersionNotFound(c.JobID, version, tx.JobVersions(key))
	}
	return jobResult(tx.Index, j, true), nil
}

func tagNamed(tag *structs.JobVersionTag, name string) *structs.JobVersionTag {
	if tag == nil {
		return nil
	}
	next := *tag
	next.Name = name
	return &next
}

// modifyIndex returns the index at which a job's specification last changed, 0
// if there is no job.
func modifyIndex(j *structs.Job) uint64 {
	if j == nil {
		return 0
	}
	return j.GetJobModifyIndex()
}
