// Package capacity indexes what the nodes of a cluster have left: a struct of
// arrays over dense node numbers, advanced by differences.
//
// It must not know jobs, evaluations or scores. Begin reading at Index.
package capacity

import "github.com/steppe-run/steppe/structs"

// Index says what each node has left. It is not safe for concurrent use.
type Index struct {
}

// New returns an index without nodes.
func New() *Index { return &Index{} }

// UpsertNode stores a node, new or changed. What runs on it stays counted.
func (x *Index) UpsertNode(n *structs.Node) {}

// RemoveNode forgets a node. What runs on it stays counted, in case it returns.
func (x *Index) RemoveNode(id string) {}

// SetAlloc counts an allocation where it runs, once however often it is told;
// one that is terminal (stopped by the servers or ended) counts no longer.
func (x *Index) SetAlloc(a *structs.Allocation) {}

// RemoveAlloc counts an allocation no longer.
func (x *Index) RemoveAlloc(id string) {}

// Hold counts the placements of a plan in flight and gives back what it stops.
// Once the plan is committed SetAlloc of its allocations confirms them; for
// what was refused the owner calls RemoveAlloc, and SetAlloc of what was to
// stop. id is ids.Derive.
func (x *Index) Hold(p *structs.Plan, id func(seed [16]byte, row uint32) string) {}
