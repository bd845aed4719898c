package state

import (
	"iter"
	"slices"

	"github.com/steppe-run/steppe/state/alloc"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

func (t *tables) jobVersions(key structs.NamespacedID) []*structs.Job {
	versions := slices.Collect(t.versions.under(key.Namespace, key.ID))
	slices.Reverse(versions)
	return versions
}

func (t *tables) childrenOf(parent structs.NamespacedID) iter.Seq[*structs.Job] {
	return func(yield func(*structs.Job) bool) {
		for i := range t.children.From(item[structs.Job]{a: parent.Namespace, b: parent.ID}) {
			if i.a != parent.Namespace || i.b != parent.ID {
				return
			}
			if j := t.jobs.get(i.a, i.c, 0); j != nil && !yield(j) {
				return
			}
		}
	}
}

func (tx *txn) registerJob(c *command.RegisterJob) (any, error) {
	if c.Job == nil || c.Job.GetID() == "" {
		return nil, structs.NewError(structs.KindInvalid, "a registration needs a job with an ID")
	}
	tx.now = c.Now
	key := c.Job.NamespacedID()
	existing := tx.job(key)
	if c.EnforceIndex && modifyIndex(existing) != c.JobModifyIndex {
		return nil, &structs.EnforceIndexError{Want: c.JobModifyIndex, Have: modifyIndex(existing)}
	}
	if err := tx.mayHold(c.Job); err != nil {
		return nil, err
	}
	if twin := tx.dispatched(c.Job); twin != nil {
		return &JobResult{Index: tx.index, JobModifyIndex: twin.GetJobModifyIndex(), Version: twin.GetVersion(), Existing: twin.GetID()}, nil
	}
	job := c.Job
	if c.PreserveCounts && !existing.Stopped() {
		job = withCounts(job, existing)
	}
	stored, changed := tx.upsertJob(key, job)
	if changed {
		tx.storeSubmission(key, stored.GetVersion(), c.Submission)
		tx.cancelDeployments(key, structs.DescDeploymentNewerJob)
	}
	tx.recordScaling(key, c)
	tx.upsertEvalOf(stored, c.Eval)
	return jobResult(tx.index, stored, changed), nil
}

func jobResult(index uint64, j *structs.Job, changed bool) *JobResult {
	return &JobResult{Index: index, JobModifyIndex: j.GetJobModifyIndex(), Version: j.GetVersion(), Changed: changed}
}

// mayHold refuses a job whose namespace or node pool is not there.
func (tx *txn) mayHold(j *structs.Job) error {
	if tx.namespaces.get("", j.GetNamespace(), 0) == nil {
		return structs.NewError(structs.KindInvalid, "job %q is in nonexistent namespace %q", j.GetID(), j.GetNamespace())
	}
	if tx.pools.get("", j.GetNodePool(), 0) == nil {
		return structs.NewError(structs.KindInvalid, "job %q is in nonexistent node pool %q", j.GetID(), j.GetNodePool())
	}
	return nil
}

// dispatched returns the job that the same idempotency token has made.
func (tx *txn) dispatched(j *structs.Job) *structs.Job {
	token := structs.Value(j.DispatchIdempotencyToken)
	if token == "" || j.GetParentID() == "" {
		return nil
	}
	for child := range tx.childrenOf(structs.NamespacedID{Namespace: j.GetNamespace(), ID: j.GetParentID()}) {
		if structs.Value(child.DispatchIdempotencyToken) == token && child.GetID() != j.GetID() {
			return child
		}
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

// upsertJob stores a specification as a new version, unless it is what is
// stored already.
func (tx *txn) upsertJob(key structs.NamespacedID, spec *structs.Job) (stored *structs.Job, changed bool) {
	existing := tx.job(key)
	next := *spec
	next.TaskGroups = present(spec.TaskGroups)
	if next.Stop == nil {
		next.Stop = new(bool)
	}
	if existing != nil && !structs.SpecChanged(existing, &next) && existing.Stopped() == next.Stopped() {
		return existing, false
	}
	version, created, status, stable := uint64(0), tx.index, structs.JobStatusPending, false
	if existing != nil {
		version, created, status = existing.GetVersion()+1, existing.GetCreateIndex(), existing.GetStatus()
	}
	index := tx.index
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
	if existing == nil {
		tx.countChild(&next, status, 1)
	}
	if parent := next.GetParentID(); parent != "" {
		tx.children.Set(item[structs.Job]{a: key.Namespace, b: parent, c: key.ID})
	}
	tx.statsOf(key) // the status rule looks at the specification too
	var old any
	if existing != nil {
		old = existing
	}
	tx.emit(jobRegistered, old, &next)
	return &next, true
}

// storeJob stores a job's current version.
func (tx *txn) storeJob(key structs.NamespacedID, j *structs.Job) {
	tx.jobs.Set(item[structs.Job]{a: key.Namespace, b: key.ID, v: j})
	tx.storeVersion(key, j)
	tx.touch(TableJobs)
}

func (tx *txn) storeVersion(key structs.NamespacedID, j *structs.Job) {
	tx.versions.Set(item[structs.Job]{a: key.Namespace, b: key.ID, n: j.GetVersion(), v: j})
	tx.touch(TableJobVersions)
}

// pruneVersions keeps the newest versions, the newest stable one and those
// that carry a tag.
func (tx *txn) pruneVersions(key structs.NamespacedID) {
	stableKept := false
	for i, j := range tx.jobVersions(key) {
		stable := j.IsStable() && !stableKept
		stableKept = stableKept || stable
		if i < structs.JobTrackedVersions || stable || j.VersionTag != nil {
			continue
		}
		tx.versions.Delete(item[structs.Job]{a: key.Namespace, b: key.ID, n: j.GetVersion()})
		tx.submissions.Delete(item[structs.JobSubmission]{a: key.Namespace, b: key.ID, n: j.GetVersion()})
	}
}

// summarize sees to it that the job has a summary with all its groups.
func (tx *txn) summarize(key structs.NamespacedID, j *structs.Job) {
	s := tx.summaryOf(key)
	if s == nil {
		s = &structs.JobSummary{
			JobID: key.ID, Namespace: key.Namespace, CreateIndex: tx.index,
			Summary: map[string]structs.TaskGroupSummary{}, Children: &structs.JobChildrenSummary{},
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
	tx.submissions.Set(item[structs.JobSubmission]{a: key.Namespace, b: key.ID, n: version, v: sub})
	tx.touch(TableJobSubmissions)
}

func (tx *txn) recordScaling(key structs.NamespacedID, c *command.RegisterJob) {
	if len(c.Scaling) == 0 {
		return
	}
	log := &scalingLog{Namespace: key.Namespace, JobID: key.ID, Groups: map[string][]*structs.ScalingEvent{}}
	if old := tx.scaling.get(key.Namespace, key.ID, 0); old != nil {
		for group, events := range old.Groups {
			log.Groups[group] = events
		}
	}
	for group, e := range c.Scaling {
		if e == nil {
			continue
		}
		event := *e
		event.CreateIndex = tx.index
		events := append([]*structs.ScalingEvent{&event}, log.Groups[group]...)
		log.Groups[group] = events[:min(len(events), maxScalingEvents)]
	}
	tx.scaling.Set(item[scalingLog]{a: key.Namespace, b: key.ID, v: log})
	tx.touch(TableScalingEvents)
}

func (tx *txn) deregisterJob(c *command.DeregisterJob) (any, error) {
	tx.now = c.Now
	key := structs.NamespacedID{Namespace: c.Namespace, ID: c.JobID}
	job := tx.job(key)
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
			e.JobModifyIndex = tx.index
			tx.upsertEval(&e)
		}
		return &JobResult{Index: tx.index, JobModifyIndex: tx.index, Version: job.GetVersion(), Changed: true}, nil
	}
	changed := !job.Stopped()
	if changed {
		stopped, stop := *job, true
		stopped.Stop = &stop
		job, _ = tx.upsertJob(key, &stopped)
		last := &tx.events[len(tx.events)-1]
		last.kind = jobDeregistered
	}
	tx.upsertEvalOf(job, c.Eval)
	return jobResult(tx.index, job, changed), nil
}

// removeJob removes a job and what belongs to it alone.
func (tx *txn) removeJob(key structs.NamespacedID, job *structs.Job) {
	for _, j := range tx.jobVersions(key) {
		tx.versions.Delete(item[structs.Job]{a: key.Namespace, b: key.ID, n: j.GetVersion()})
		tx.submissions.Delete(item[structs.JobSubmission]{a: key.Namespace, b: key.ID, n: j.GetVersion()})
	}
	tx.jobs.Delete(item[structs.Job]{a: key.Namespace, b: key.ID})
	tx.summaries.Delete(item[structs.JobSummary]{a: key.Namespace, b: key.ID})
	delete(tx.pendingSummaries, key)
	tx.scaling.Delete(item[scalingLog]{a: key.Namespace, b: key.ID})
	if parent := job.GetParentID(); parent != "" {
		tx.children.Delete(item[structs.Job]{a: key.Namespace, b: parent, c: key.ID})
	}
	tx.countChild(job, job.GetStatus(), -1)
	for _, t := range []Table{TableJobs, TableJobVersions, TableJobSubmissions, TableJobSummaries, TableScalingEvents} {
		tx.touch(t)
	}
	tx.emit(jobDeregistered, job, nil)
}

func (tx *txn) skipShutdownDelay(key structs.NamespacedID) {
	yes := true
	for _, v := range liveViews(tx.allocs.ByJob(key.Namespace, key.ID)) {
		tx.changeRow(v, allocDesired, func(r *alloc.Row) {
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
	return jobResult(tx.index, j, true), nil
}

func (tx *txn) setStable(key structs.NamespacedID, version uint64, stable bool) *structs.Job {
	return tx.changeVersion(key, version, func(j *structs.Job) { j.Stable = &stable })
}

// changeVersion changes a version of a job, not its specification.
func (tx *txn) changeVersion(key structs.NamespacedID, version uint64, change func(*structs.Job)) *structs.Job {
	j := tx.versions.get(key.Namespace, key.ID, version)
	if j == nil {
		return nil
	}
	next, index := *j, tx.index
	change(&next)
	next.ModifyIndex = &index
	if current := tx.job(key); current != nil && current.GetVersion() == version {
		tx.storeJob(key, &next)
	} else {
		tx.storeVersion(key, &next)
	}
	return &next
}

func (tx *txn) tagJobVersion(c *command.TagJobVersion) (any, error) {
	key := structs.NamespacedID{Namespace: c.Namespace, ID: c.JobID}
	if tx.job(key) == nil {
		return nil, structs.ErrJobNotFound
	}
	var tagged *structs.Job
	for j := range tx.versions.under(key.Namespace, key.ID) {
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
		return nil, structs.NewError(structs.KindRefused, "tag %q already exists on a different version of job %q", c.Name, c.JobID)
	}
	j := tx.changeVersion(key, version, func(j *structs.Job) { j.VersionTag = tagNamed(c.Tag, c.Name) })
	if j == nil {
		return nil, structs.ErrJobVersionsNotFound
	}
	return jobResult(tx.index, j, true), nil
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
