package invariant

import (
	"fmt"
	"slices"

	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/structs"
)

// forwards are the client states that may follow on each.
func forwards() map[string][]string {
	const (
		pending, running, complete = structs.AllocClientPending, structs.AllocClientRunning, structs.AllocClientComplete
		failed, lost, unknown      = structs.AllocClientFailed, structs.AllocClientLost, structs.AllocClientUnknown
	)
	return map[string][]string{
		pending:  {running, complete, failed, lost, unknown},
		running:  {pending, complete, failed, lost, unknown},
		unknown:  {pending, running, complete, failed, lost},
		complete: {},
		failed:   {},
		lost:     {complete, failed}, // its node came back and tells how it ended
	}
}

func allocStates(s *Step) []string {
	var out []string
	allowed := forwards()
	for _, p := range s.allocs {
		if p.old == nil || p.fresh == nil {
			continue
		}
		was, is := p.old.ClientStatus, p.fresh.ClientStatus
		// A lost one that turns out to run, on a node that came back, is told so
		// until it has been stopped.
		found := was == structs.AllocClientLost && p.old.ServerTerminal()
		if was != is && !found && !slices.Contains(allowed[was], is) {
			out = append(out, fmt.Sprintf("%s of job %s turns from %s to %s", p.fresh.Name, p.fresh.JobID, was, is))
		}
		if p.old.ServerTerminal() && !p.fresh.ServerTerminal() {
			out = append(out, fmt.Sprintf("%s of job %s is to run again after it was to %s", p.fresh.Name, p.fresh.JobID, p.old.DesiredStatus))
		}
	}
	return out
}

func final(s *Step) []string {
	var out []string
	for i := range s.Change.Events {
		ev := &s.Change.Events[i]
		switch ev.Table() {
		case feed.TableEvals:
			old, _ := ev.Old().(*structs.Evaluation)
			fresh, _ := ev.New().(*structs.Evaluation)
			if old != nil && fresh != nil && old.Terminal() && !fresh.Terminal() {
				out = append(out, fmt.Sprintf("evaluation %s turns from %s to %s", fresh.ID, old.Status, fresh.Status))
			}
		case feed.TableDeployments:
			old, _ := ev.Old().(*structs.Deployment)
			fresh, _ := ev.New().(*structs.Deployment)
			if old != nil && fresh != nil && !old.Active() && (fresh.Active() || old.Status != fresh.Status) {
				out = append(out, fmt.Sprintf("deployment %s turns from %s to %s", fresh.ID, old.Status, fresh.Status))
			}
		}
	}
	return out
}

func oneDeployment(s *Step) []string {
	var out []string
	for _, key := range s.jobs {
		active := ""
		for d := range s.After.DeploymentsByJob(key.Namespace, key.ID) {
			if !d.Active() {
				continue
			}
			if active != "" {
				out = append(out, fmt.Sprintf("deployments %s and %s of job %s are both active", active, d.ID, key.ID))
			}
			active = d.ID
		}
	}
	return out
}

func oneBlocked(s *Step) []string {
	var out []string
	for _, key := range s.jobs {
		waiting := ""
		for e := range s.After.EvalsByJob(key.Namespace, key.ID) {
			if e.Status != structs.EvalStatusBlocked {
				continue
			}
			if waiting != "" {
				out = append(out, fmt.Sprintf("evaluations %s and %s of job %s both wait for capacity", waiting, e.ID, key.ID))
			}
			waiting = e.ID
		}
	}
	return out
}

// maxParallel looks at the replacements that an update has placed and whose
// health isn't known.
func maxParallel(s *Step) []string {
	var out []string
	for key, groups := range placedGroups(s) {
		job := s.After.Job(key.Namespace, key.ID)
		d := s.After.LatestDeployment(key.Namespace, key.ID)
		if job == nil || !d.Active() {
			continue
		}
		for name := range groups {
			g := job.LookupTaskGroup(name)
			if g == nil || g.Update == nil || structs.Value(g.Update.MaxParallel) <= 0 {
				continue
			}
			n := awaited(s, key, d.ID, name)
			if most := structs.Value(g.Update.MaxParallel); n > most {
				out = append(out, fmt.Sprintf("%d allocations of group %s of job %s are being replaced, max_parallel is %d", n, name, key.ID, most))
			}
		}
	}
	return out
}

// awaited counts the replacements of a deployment whose health isn't known.
func awaited(s *Step, key structs.NamespacedID, deploymentID, group string) int {
	n := 0
	for _, a := range s.live(s.After, key) {
		if a.TaskGroup == group && a.DeploymentID == deploymentID && !a.DeploymentStatus.HasHealth() && updates(s, a) {
			n++
		}
	}
	return n
}

// updates reports whether an allocation took the place of one of an older
// version that an update stopped.
func updates(s *Step, a *structs.Allocation) bool {
	prev := s.allocAfter(a.PreviousAllocation)
	d := s.After.Deployment(a.DeploymentID)
	return prev != nil && prev.DesiredDescription == structs.DescAllocUpdating && d != nil && a.CreateIndex >= d.CreateIndex
}

func canaries(s *Step) []string {
	var out []string
	for i := range s.Change.Events {
		ev := &s.Change.Events[i]
		if ev.Table() != feed.TableDeployments {
			continue
		}
		old, _ := ev.Old().(*structs.Deployment)
		fresh, _ := ev.New().(*structs.Deployment)
		if old == nil || fresh == nil {
			continue
		}
		for name, st := range fresh.TaskGroups {
			was := old.TaskGroups[name]
			if was == nil || was.Promoted || !st.Promoted || st.DesiredCanaries == 0 {
				continue
			}
			if healthy := healthyCanaries(s, fresh.ID, name); healthy < st.DesiredCanaries {
				out = append(out, fmt.Sprintf("group %s of deployment %s is promoted with %d healthy canaries of %d", name, fresh.ID, healthy, st.DesiredCanaries))
			}
		}
	}
	return out
}

func healthyCanaries(s *Step, deploymentID, group string) int {
	n := 0
	for a := range s.Before.AllocsByDeployment(deploymentID) {
		if a.TaskGroup == group && a.DeploymentStatus.IsCanary() && a.DeploymentStatus.IsHealthy() {
			n++
		}
	}
	return n
}
