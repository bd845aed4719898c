package state

import (
	"cmp"
	"maps"

	"github.com/steppe-run/steppe/state/alloc"
	"github.com/steppe-run/steppe/state/tables"
	"github.com/steppe-run/steppe/structs"
)

// What follows from allocations, evaluations and deployments: counts, a job's
// summary, a job's status.

func compareIDs(a, b structs.NamespacedID) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.ID, b.ID))
}

// statsOf returns the counts of a job, to be changed. The job's status will be
// derived anew.
func (tx *txn) statsOf(key structs.NamespacedID) *tables.JobStats {
	if s := tx.pendingStats[key]; s != nil {
		return s
	}
	var s tables.JobStats
	if stored := tx.Stats.Find(key.Namespace, key.ID, 0); stored != nil {
		s = *stored
	}
	if tx.pendingStats == nil {
		tx.pendingStats = map[structs.NamespacedID]*tables.JobStats{}
	}
	tx.pendingStats[key] = &s
	return &s
}

// summaryOf returns the summary of a job, to be changed; nil if the job is not
// there.
func (tx *txn) summaryOf(key structs.NamespacedID) *structs.JobSummary {
	if s := tx.pendingSummaries[key]; s != nil {
		return s
	}
	stored := tx.Summaries.Find(key.Namespace, key.ID, 0)
	if stored == nil {
		return nil
	}
	s := *stored
	s.Summary = maps.Clone(stored.Summary)
	if s.Summary == nil {
		s.Summary = map[string]structs.TaskGroupSummary{}
	}
	if stored.Children != nil {
		children := *stored.Children
		s.Children = &children
	}
	tx.setSummary(key, &s)
	return &s
}

func (tx *txn) setSummary(key structs.NamespacedID, s *structs.JobSummary) {
	if tx.pendingSummaries == nil {
		tx.pendingSummaries = map[structs.NamespacedID]*structs.JobSummary{}
	}
	tx.pendingSummaries[key] = s
}

// countAlloc counts n allocations like v more (or, negative, less). A change is
// the old ones less and the new ones more.
func (tx *txn) countAlloc(v alloc.View, n int) {
	s, r := v.Shared(), v.Row()
	key := structs.NamespacedID{Namespace: s.Namespace, ID: s.JobID}
	if !r.Terminal() {
		tx.statsOf(key).LiveAllocs += n
	}
	tx.countStatus(key, s, r.Client, n)
}

func (tx *txn) countStatus(key structs.NamespacedID, s *alloc.Shared, status alloc.Client, n int) {
	summary := tx.summaryOf(key)
	if summary == nil || summary.CreateIndex != s.Job.GetCreateIndex() {
		return // the job was purged, and perhaps registered again
	}
	group := summary.Summary[s.Group]
	*statusCount(&group, status) += n
	summary.Summary[s.Group] = group
}

func statusCount(g *structs.TaskGroupSummary, status alloc.Client) *int {
	switch status {
	case alloc.Running:
		return &g.Running
	case alloc.Complete:
		return &g.Complete
	case alloc.Failed:
		return &g.Failed
	case alloc.Lost:
		return &g.Lost
	case alloc.Unknown:
		return &g.Unknown
	}
	return &g.Starting
}

// deriveJobs stores the counts that changed and the status that follows.
func (tx *txn) deriveJobs() {
	for _, key := range sortedIDs(tx.pendingStats) {
		s := tx.pendingStats[key]
		if *s == (tables.JobStats{}) {
			tx.Stats.Delete(tables.Item[tables.JobStats]{A: key.Namespace, B: key.ID})
		} else {
			tx.Stats.Set(tables.Item[tables.JobStats]{A: key.Namespace, B: key.ID, V: s})
		}
		if j := tx.Job(key); j != nil {
			tx.setJobStatus(key, j, deriveStatus(j, s, tx.evalsSwept[key]))
		}
	}
}

// deriveStatus is the status rule of jobs. swept says that evaluations of the
// job were just removed: without any left it is done, not new.
func deriveStatus(j *structs.Job, s *tables.JobStats, swept bool) string {
	switch {
	case j.GetType() == structs.JobTypeSystem || j.IsParameterized() || j.IsPeriodic():
		if j.Stopped() {
			return structs.JobStatusDead
		}
		return structs.JobStatusRunning
	case s.LiveDeployments > 0 || s.LiveAllocs > 0:
		return structs.JobStatusRunning
	case s.LiveEvals > 0:
		return structs.JobStatusPending
	case s.Evals > 0 || j.Stopped() || swept:
		return structs.JobStatusDead
	}
	return structs.JobStatusPending
}

func (tx *txn) setJobStatus(key structs.NamespacedID, j *structs.Job, status string) {
	before := j.GetStatus()
	if before == status {
		return
	}
	next, index := *j, tx.Index // not &tx.Index: it would keep all tables alive
	next.Status, next.ModifyIndex = &status, &index
	tx.storeJob(key, &next)
	tx.countChild(j, before, -1)
	tx.countChild(j, status, 1)
}

// countChild counts a child of a periodic or parameterized job in its parent's
// summary.
func (tx *txn) countChild(j *structs.Job, status string, n int64) {
	parent := j.GetParentID()
	if parent == "" {
		return
	}
	s := tx.summaryOf(structs.NamespacedID{Namespace: j.GetNamespace(), ID: parent})
	if s == nil || s.Children == nil {
		return
	}
	*childCount(s.Children, status) += n
}

func childCount(s *structs.JobChildrenSummary, status string) *int64 {
	switch status {
	case structs.JobStatusRunning:
		return &s.Running
	case structs.JobStatusDead:
		return &s.Dead
	}
	return &s.Pending
}
