package state

import (
	"iter"

	"github.com/steppe-run/steppe/state/alloc"
	"github.com/steppe-run/steppe/structs"
)

// Alloc returns an allocation.
func (s *Snapshot) Alloc(id string) *structs.Allocation {
	if v := s.t.allocs.Find(id); v.Valid() {
		return v.Allocation()
	}
	return nil
}

// Allocs returns the allocations of a namespace ("*": of all) whose ID has a
// prefix, in the order of creation.
func (s *Snapshot) Allocs(namespace, prefix string) iter.Seq[*structs.Allocation] {
	views := s.t.allocs.All()
	if prefix != "" {
		views = s.t.allocs.ByPrefix(prefix)
	}
	return func(yield func(*structs.Allocation) bool) {
		for v := range views {
			if inNamespace(v.Shared().Namespace, namespace) && !yield(v.Allocation()) {
				return
			}
		}
	}
}

// AllocsByJob returns the allocations of a job, in the order of creation.
func (s *Snapshot) AllocsByJob(namespace, id string) iter.Seq[*structs.Allocation] {
	return whole(s.t.allocs.ByJob(namespace, id))
}

// AllocsByNode returns the allocations of a node.
func (s *Snapshot) AllocsByNode(nodeID string) iter.Seq[*structs.Allocation] {
	return whole(s.t.allocs.ByNode(nodeID))
}

// AllocsByEval returns the allocations that an evaluation placed or updated in
// place.
func (s *Snapshot) AllocsByEval(evalID string) iter.Seq[*structs.Allocation] {
	return whole(s.t.allocs.ByEval(evalID))
}

// AllocsByDeployment returns the allocations that belong to a deployment.
func (s *Snapshot) AllocsByDeployment(deploymentID string) iter.Seq[*structs.Allocation] {
	return whole(s.t.allocs.ByDeployment(deploymentID))
}

// AllocViews returns the same as Allocs, AllocsByJob and AllocsByNode without
// making the objects, for those who count.
func (s *Snapshot) AllocViews() iter.Seq[alloc.View] { return s.t.allocs.All() }

// AllocViewsByNode returns a node's allocations without making the objects.
func (s *Snapshot) AllocViewsByNode(nodeID string) iter.Seq[alloc.View] {
	return s.t.allocs.ByNode(nodeID)
}

// AllocViewsByJob returns a job's allocations without making the objects.
func (s *Snapshot) AllocViewsByJob(namespace, id string) iter.Seq[alloc.View] {
	return s.t.allocs.ByJob(namespace, id)
}

// AllocCount returns how many allocations there are.
func (s *Snapshot) AllocCount() int { return s.t.allocs.Count() }

// NodeUsage returns the sum of what the allocations of a node that are not
// terminal use.
func (s *Snapshot) NodeUsage(nodeID string) structs.Comparable { return s.t.allocs.Used(nodeID) }

func whole(views iter.Seq[alloc.View]) iter.Seq[*structs.Allocation] {
	return func(yield func(*structs.Allocation) bool) {
		for v := range views {
			if !yield(v.Allocation()) {
				return
			}
		}
	}
}
