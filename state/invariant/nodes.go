package invariant

import (
	"fmt"

	"github.com/steppe-run/steppe/structs"
)

func capacity(s *Step) []string {
	var out []string
	for _, id := range s.loaded {
		node := s.After.Node(id)
		if node == nil {
			continue
		}
		var sum structs.Comparable
		for _, a := range s.carried(id) {
			sum.Add(a.AllocatedResources.Comparable())
		}
		if dimension := sum.Exceeds(node.Comparable()); dimension != "" {
			out = append(out, fmt.Sprintf("node %s is overcommitted in %s: %+v", node.Name, dimension, sum))
		}
	}
	return out
}

// address is one that is given to an allocation.
type address struct {
	host string
	port int
}

func ports(s *Step) []string {
	var out []string
	for _, id := range s.loaded {
		taken := map[address]string{}
		for _, a := range s.carried(id) {
			if a.AllocatedResources == nil {
				continue
			}
			for _, p := range a.AllocatedResources.Shared.Ports {
				key := address{p.HostIP, p.Value}
				if other := taken[key]; other != "" {
					out = append(out, fmt.Sprintf("port %s:%d of node %s is held by %s and %s", key.host, key.port, id, other, a.ID))
				}
				taken[key] = a.ID
			}
		}
	}
	return out
}

func eligible(s *Step) []string {
	var out []string
	for _, a := range s.placed() {
		n := s.Before.Node(a.NodeID)
		if n == nil || !n.Ready() {
			out = append(out, fmt.Sprintf("%s of job %s is placed on node %s, which isn't ready for it", a.Name, a.JobID, a.NodeName))
		}
	}
	return out
}

func distinctHosts(s *Step) []string {
	var out []string
	for _, key := range s.jobs {
		job := s.After.Job(key.Namespace, key.ID)
		if job == nil {
			continue
		}
		whole, groups := scopes(job)
		if !whole && len(groups) == 0 {
			continue
		}
		hosts := map[[2]string]*structs.Allocation{}
		for _, a := range s.live(s.After, key) {
			scope := a.TaskGroup
			switch {
			case !current(job, a) || a.Job.GetVersion() != job.GetVersion():
				continue
			case whole:
				scope = ""
			case !groups[a.TaskGroup]:
				continue
			}
			at := [2]string{scope, a.NodeID}
			if other := hosts[at]; other != nil && isPlaced(s, a, other) {
				out = append(out, fmt.Sprintf("%s and %s of job %s are both on node %s", other.Name, a.Name, a.JobID, a.NodeName))
			}
			hosts[at] = a
		}
	}
	return out
}

// scopes tells what of a job shares no node: all of it, or which groups.
func scopes(job *structs.Job) (whole bool, groups map[string]bool) {
	groups = map[string]bool{}
	for _, g := range job.TaskGroups {
		if distinct(g.Constraints) {
			groups[g.GetName()] = true
		}
	}
	return distinct(job.Constraints), groups
}

func isPlaced(s *Step, allocs ...*structs.Allocation) bool {
	for _, p := range s.placed() {
		for _, a := range allocs {
			if p.ID == a.ID {
				return true
			}
		}
	}
	return false
}

func distinct(constraints []*structs.Constraint) bool {
	for _, c := range constraints {
		if c.Operand == structs.OpDistinctHosts && c.RTarget != "false" {
			return true
		}
	}
	return false
}

func priority(s *Step) []string {
	const least = 10
	var out []string
	for _, p := range s.allocs {
		if p.fresh == nil || p.fresh.PreemptedByAllocation == "" || p.old != nil && p.old.PreemptedByAllocation != "" {
			continue
		}
		by := s.allocAfter(p.fresh.PreemptedByAllocation)
		if by == nil || by.Job == nil || p.fresh.Job == nil {
			continue
		}
		if by.Job.GetPriority() < p.fresh.Job.GetPriority()+least {
			out = append(out, fmt.Sprintf("%s of priority %d is preempted by %s of priority %d",
				p.fresh.Name, p.fresh.Job.GetPriority(), by.Name, by.Job.GetPriority()))
		}
	}
	return out
}
