package cluster

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/steppe-run/steppe/client"
	"github.com/steppe-run/steppe/sim/node"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// Origin is the state of a region at which a history begins instead of with
// nothing: what its servers know, and what that says of its nodes.
type Origin struct {
	image []byte
	// Snapshot is the state, At when it was so.
	Snapshot *state.Snapshot
	At       time.Time
}

// NewOrigin reads what a state persisted. At is when that was; zero: at the
// newest time that is in it.
func NewOrigin(image []byte, at time.Time) (*Origin, error) {
	store := state.New(state.Options{})
	if err := store.Restore(bytes.NewReader(image)); err != nil {
		return nil, err
	}
	o := &Origin{image: image, Snapshot: store.Snapshot(), At: at}
	if o.At.IsZero() {
		o.At = newest(o.Snapshot)
	}
	return o, nil
}

// ReadOrigin reads the same from a file.
func ReadOrigin(r io.Reader, at time.Time) (*Origin, error) {
	image, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	return NewOrigin(image, at)
}

// newest is the latest of the times at which something is said to have happened.
func newest(s *state.Snapshot) time.Time {
	last := Begin.UnixNano()
	if s.NodeCount() > 0 {
		last = 0
	}
	note := func(times ...int64) { last = max(last, slices.Max(times)) }
	for n := range s.Nodes("") {
		note(time.Unix(n.StatusUpdatedAt, 0).UnixNano())
		for _, e := range n.Events {
			note(e.Timestamp.UnixNano())
		}
	}
	for j := range s.Jobs(structs.AllNamespaces, "") {
		note(structs.Value(j.SubmitTime), time.Unix(s.LaunchedUntil(j.GetNamespace(), j.GetID()), 0).UnixNano())
	}
	for e := range s.Evals(structs.AllNamespaces, "") {
		note(e.CreateTime, e.ModifyTime)
	}
	for d := range s.Deployments(structs.AllNamespaces, "") {
		note(d.CreateTime, d.ModifyTime)
	}
	for a := range s.Allocs(structs.AllNamespaces, "") {
		note(a.CreateTime, a.ModifyTime)
		for _, t := range a.TaskStates {
			for _, e := range t.Events {
				note(e.Time)
			}
		}
	}
	return time.Unix(0, last).UTC()
}

// base is the index of the last entry of the log that is in the state.
func (o *Origin) base() uint64 {
	if o == nil {
		return 0
	}
	return o.Snapshot.Index()
}

// state is what each server begins with.
func (o *Origin) state() []byte {
	if o == nil {
		return nil
	}
	return o.image
}

// populate adds the nodes that the state knows. Those that were heard of run,
// with all that ran on them; the others stay away until they are started.
func (c *Cluster) populate(o *Origin) error {
	if o == nil {
		return nil
	}
	var known []*structs.Node
	for n := range o.Snapshot.Nodes("") {
		known = append(known, n)
	}
	slices.SortFunc(known, func(a, b *structs.Node) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
	names := map[string]int{}
	for _, n := range known {
		names[n.Name]++
	}
	for _, n := range known {
		name := n.Name
		if names[name] > 1 || strings.HasPrefix(name, "server-") || len(strings.Fields(name)) != 1 || slices.Contains([]string{"leader", "users"}, name) {
			name = "node-" + n.ID[:8]
		}
		before := &node.Before{Node: n, Allocs: unfinished(o.Snapshot, n.ID)}
		added, err := c.newNode(node.Config{Name: name, Before: before, Client: client.Config{Meta: n.Meta}})
		if err == nil && heardOf(n) {
			err = added.Start()
		}
		if err != nil {
			return fmt.Errorf("add node %s: %w", name, err)
		}
	}
	return nil
}

// heardOf reports whether a node is up, as far as the servers know.
func heardOf(n *structs.Node) bool {
	return n.SilentSince == 0 && (n.Status == structs.NodeStatusReady || n.Status == structs.NodeStatusInit)
}

// unfinished are the allocations of a node that may run there.
func unfinished(s *state.Snapshot, nodeID string) []*structs.Allocation {
	var out []*structs.Allocation
	for a := range s.AllocsByNode(nodeID) {
		if !a.ClientTerminal() {
			out = append(out, a)
		}
	}
	return out
}
