package state

import (
	"maps"
	"slices"
	"time"

	"github.com/steppe-run/steppe/state/alloc"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/state/tables"
	"github.com/steppe-run/steppe/structs"
)

// storeDeployment stores a deployment, which it takes over.
func (tx *txn) storeDeployment(kind feed.Kind, d *structs.Deployment) {
	existing := tx.Deployment(d.ID)
	d.ModifyIndex = tx.Index
	if tx.now != 0 {
		d.ModifyTime = tx.now
	}
	var old any
	if existing != nil {
		old = existing
		tx.unlistDeployment(existing)
	}
	tx.Deployments.Set(tables.Item[structs.Deployment]{B: d.ID, V: d})
	tx.DeploymentsByJob.Set(tables.Item[structs.Deployment]{A: d.Namespace, B: d.JobID, N: d.CreateIndex, C: d.ID, V: d})
	tx.countDeployment(d, 1)
	tx.emit(kind, old, d)
}

func (tx *txn) unlistDeployment(d *structs.Deployment) {
	tx.DeploymentsByJob.Delete(tables.Item[structs.Deployment]{A: d.Namespace, B: d.JobID, N: d.CreateIndex, C: d.ID})
	tx.countDeployment(d, -1)
}

func (tx *txn) countDeployment(d *structs.Deployment, n int) {
	s := tx.statsOf(structs.NamespacedID{Namespace: d.Namespace, ID: d.JobID})
	if d.Active() {
		s.LiveDeployments += n
	}
}

// createDeployment stores the deployment that a plan brings. Of one that exists it
// takes over what it desires now: that of a job on every node grows and shrinks
// with the cluster.
func (tx *txn) createDeployment(d *structs.Deployment) {
	if d == nil || d.ID == "" {
		return
	}
	if tx.Deployment(d.ID) != nil {
		for _, name := range slices.Sorted(maps.Keys(d.TaskGroups)) {
			if want := d.TaskGroups[name]; want != nil {
				tx.resizeDeployment(d.ID, name, want)
			}
		}
		return
	}
	next := *d
	next.TaskGroups = cloneGroups(d.TaskGroups)
	next.CreateIndex = tx.Index
	if next.CreateTime == 0 {
		next.CreateTime = tx.now
	}
	tx.storeDeployment(feed.DeploymentPlanned, &next)
}

func (tx *txn) resizeDeployment(id, group string, want *structs.DeploymentState) {
	if d := tx.Deployment(id); d.TaskGroups[group] == nil || d.TaskGroups[group].DesiredTotal == want.DesiredTotal &&
		d.TaskGroups[group].DesiredCanaries == want.DesiredCanaries {
		return
	}
	tx.changeDeploymentGroup(feed.DeploymentPlanned, id, group, func(g *structs.DeploymentState) {
		g.DesiredTotal, g.DesiredCanaries = want.DesiredTotal, want.DesiredCanaries
	})
}

func (tx *txn) removeDeployment(d *structs.Deployment) {
	tx.Deployments.Delete(tables.Item[structs.Deployment]{B: d.ID})
	tx.unlistDeployment(d)
	tx.emit(feed.DeploymentRemoved, d, nil)
}

// cancelDeployments ends the deployments of a job that are under way.
func (tx *txn) cancelDeployments(key structs.NamespacedID, why string) {
	for _, d := range slices.Collect(tx.DeploymentsByJob.Under(key.Namespace, key.ID)) {
		if d.Active() {
			tx.setDeploymentStatus(d, structs.DeploymentStatusCancelled, why)
		}
	}
}

func (tx *txn) setDeploymentStatus(d *structs.Deployment, status, description string) {
	next := *d
	next.Status, next.StatusDescription = status, description
	tx.storeDeployment(feed.DeploymentUpdate, &next)
}

func cloneGroups(groups map[string]*structs.DeploymentState) map[string]*structs.DeploymentState {
	next := maps.Clone(groups)
	for name, g := range groups {
		if g == nil {
			delete(next, name)
			continue
		}
		group := *g
		group.PlacedCanaries = slices.Clone(g.PlacedCanaries)
		next[name] = &group
	}
	return next
}

// changeDeploymentGroup changes the counters of a group of a deployment that
// is under way.
func (tx *txn) changeDeploymentGroup(kind feed.Kind, id, group string, change func(*structs.DeploymentState)) {
	d := tx.Deployment(id)
	if id == "" || !d.Active() || d.TaskGroups[group] == nil {
		return
	}
	next := *d
	next.TaskGroups = maps.Clone(d.TaskGroups)
	state := *d.TaskGroups[group]
	change(&state)
	next.TaskGroups[group] = &state
	tx.storeDeployment(kind, &next)
}

// countPlaced counts allocations that were placed or updated in place for a
// deployment.
func (tx *txn) countPlaced(id, group string, n int, canaries []string) {
	tx.changeDeploymentGroup(feed.DeploymentPlanned, id, group, func(g *structs.DeploymentState) {
		g.PlacedAllocs += n
		g.PlacedCanaries = slices.Concat(g.PlacedCanaries, canaries)
		if g.ProgressDeadline > 0 && g.RequireProgressBy.IsZero() {
			g.RequireProgressBy = time.Unix(0, tx.now).UTC().Add(g.ProgressDeadline)
		}
	})
}

// restartProgress gives a group that could not make progress, because it waited
// for a person, its whole progress deadline again.
func (tx *txn) restartProgress(g *structs.DeploymentState) {
	if by := time.Unix(0, tx.now).UTC().Add(g.ProgressDeadline); g.ProgressDeadline > 0 && by.After(g.RequireProgressBy) {
		g.RequireProgressBy = by
	}
}

// countHealth counts an allocation whose health changed.
func (tx *txn) countHealth(v alloc.View, before, after *bool, at time.Time) {
	if after == nil || before != nil && *before == *after {
		return
	}
	s := v.Shared()
	tx.changeDeploymentGroup(feed.DeploymentAllocHealth, s.DeploymentID, s.Group, func(g *structs.DeploymentState) {
		if before != nil {
			*healthCount(g, *before)--
		}
		*healthCount(g, *after)++
		if by := at.Add(g.ProgressDeadline); *after && g.ProgressDeadline > 0 && by.After(g.RequireProgressBy) {
			g.RequireProgressBy = by
		}
	})
}

func healthCount(g *structs.DeploymentState, healthy bool) *int {
	if healthy {
		return &g.HealthyAllocs
	}
	return &g.UnhealthyAllocs
}

func (tx *txn) updateDeployment(c *command.UpdateDeployment) (any, error) {
	tx.now = c.Now
	d := tx.Deployment(c.Update.DeploymentID)
	if d == nil {
		return nil, structs.ErrDeploymentNotFound
	}
	if !d.Active() {
		return nil, terminalError(c.Update.Status)
	}
	if d.Status == structs.DeploymentStatusPaused && c.Update.Status == structs.DeploymentStatusRunning {
		resumed := *d
		resumed.TaskGroups = cloneGroups(d.TaskGroups)
		for _, g := range resumed.TaskGroups {
			tx.restartProgress(g)
		}
		d = &resumed
	}
	tx.setDeploymentStatus(d, c.Update.Status, c.Update.StatusDescription)
	key := structs.NamespacedID{Namespace: d.Namespace, ID: d.JobID}
	if c.MarkStable {
		// A job that was purged and registered again counts its versions anew.
		if j := tx.Job(key); j != nil && (d.JobCreateIndex == 0 || j.GetCreateIndex() == d.JobCreateIndex) {
			tx.setStable(key, d.JobVersion, true)
		}
	}
	return tx.revert(key, c.Job, c.Eval), nil
}

// terminalError says what can't be done to a deployment that has ended.
func terminalError(status string) error {
	switch status {
	case structs.DeploymentStatusFailed:
		return structs.ErrDeploymentTerminalFail
	case structs.DeploymentStatusPaused:
		return structs.ErrDeploymentTerminalPause
	case structs.DeploymentStatusRunning:
		return structs.ErrDeploymentTerminalResume
	}
	return structs.NewError(structs.KindRefused, "can't make a terminal deployment %s", status)
}

// revert registers the version that a failed deployment returns to, if any,
// and stores the evaluation that follows.
func (tx *txn) revert(key structs.NamespacedID, spec *structs.Job, eval *structs.Evaluation) *DeploymentResult {
	result := &DeploymentResult{Index: tx.Index}
	current := tx.Job(key)
	if spec != nil && current != nil && spec.NamespacedID() == key {
		stored, changed := tx.upsertJob(key, spec)
		if changed {
			tx.cancelDeployments(key, structs.DescDeploymentNewerJob)
			version := stored.GetVersion()
			result.RevertedVersion = &version
		}
		current = stored
	}
	if current != nil {
		tx.upsertEvalOf(current, eval)
	}
	return result
}

func (tx *txn) promoteDeployment(c *command.PromoteDeployment) (any, error) {
	tx.now = c.Now
	d := tx.Deployment(c.DeploymentID)
	switch {
	case d == nil:
		return nil, structs.ErrDeploymentNotFound
	case !d.Active():
		return nil, structs.ErrDeploymentTerminalPromote
	}
	next := *d
	next.TaskGroups = cloneGroups(d.TaskGroups)
	var promoted []string
	for _, name := range slices.Sorted(maps.Keys(next.TaskGroups)) {
		g := next.TaskGroups[name]
		if len(c.Groups) > 0 && !slices.Contains(c.Groups, name) || g.DesiredCanaries == 0 || g.Promoted {
			continue
		}
		if healthy := tx.healthyCanaries(g); healthy < g.DesiredCanaries {
			return nil, structs.NewError(structs.KindRefused, "Task group %q has %d/%d healthy allocations", name, healthy, g.DesiredCanaries)
		}
		g.Promoted = true
		tx.restartProgress(g)
		promoted = append(promoted, g.PlacedCanaries...)
	}
	if len(promoted) == 0 {
		return nil, structs.NewError(structs.KindRefused, "no canaries to promote")
	}
	if c.StatusDescription != "" {
		next.StatusDescription = c.StatusDescription
	}
	tx.storeDeployment(feed.DeploymentPromotion, &next)
	for _, id := range promoted {
		if v := tx.Allocs.Find(id); v.Valid() && v.Row().Canary {
			tx.changeRow(v, feed.AllocUpdated, func(r *alloc.Row) { r.Canary = false })
		}
	}
	if j := tx.Job(structs.NamespacedID{Namespace: d.Namespace, ID: d.JobID}); j != nil {
		tx.upsertEvalOf(j, c.Eval)
	}
	return &DeploymentResult{Index: tx.Index}, nil
}

func (tx *txn) healthyCanaries(g *structs.DeploymentState) int {
	n := 0
	for _, id := range g.PlacedCanaries {
		if v := tx.Allocs.Find(id); v.Valid() && !v.Row().Terminal() && structs.Value(v.Row().Healthy()) {
			n++
		}
	}
	return n
}

func (tx *txn) setAllocHealth(c *command.SetAllocHealth) (any, error) {
	tx.now = c.Now
	d := tx.Deployment(c.DeploymentID)
	switch {
	case d == nil:
		return nil, structs.ErrDeploymentNotFound
	case !d.Active():
		return nil, structs.ErrDeploymentTerminalHealth
	}
	for _, id := range slices.Concat(c.Healthy, c.Unhealthy) {
		v := tx.Allocs.Find(id)
		if !v.Valid() || v.Shared().DeploymentID != d.ID {
			return nil, structs.NewError(structs.KindNotFound, "allocation %q is not part of deployment %q", id, d.ID)
		}
		if slices.Contains(c.Healthy, id) && slices.Contains(c.Unhealthy, id) {
			return nil, structs.NewError(structs.KindInvalid, "allocation %q can't be both healthy and unhealthy", id)
		}
	}
	tx.setHealth(c.Healthy, true)
	tx.setHealth(c.Unhealthy, false)
	if u := c.Update; u != nil {
		tx.setDeploymentStatus(tx.Deployment(d.ID), u.Status, u.StatusDescription)
	}
	return tx.revert(structs.NamespacedID{Namespace: d.Namespace, ID: d.JobID}, c.Job, c.Eval), nil
}

func (tx *txn) setHealth(allocIDs []string, healthy bool) {
	at := time.Unix(0, tx.now).UTC()
	for _, id := range allocIDs {
		v := tx.Allocs.Find(id)
		before := v.Row().Healthy()
		if before != nil && *before == healthy {
			continue
		}
		v = tx.changeRow(v, feed.AllocUpdated, func(r *alloc.Row) {
			p := r.Report()
			p.Health = &structs.AllocDeploymentStatus{Healthy: &healthy, Timestamp: at, ModifyIndex: tx.Index}
			r.Reported = p
		})
		tx.countHealth(v, before, &healthy, at)
	}
}

func (tx *txn) applyDeploymentUpdates(updates []structs.DeploymentStatusUpdate) {
	for _, u := range updates {
		if d := tx.Deployment(u.DeploymentID); d.Active() && (d.Status != u.Status || d.StatusDescription != u.StatusDescription) {
			tx.setDeploymentStatus(d, u.Status, u.StatusDescription)
		}
	}
}
