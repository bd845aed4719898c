package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/steppe-run/steppe/client/local"
	"github.com/steppe-run/steppe/sim/virtual"
	"github.com/steppe-run/steppe/structs"
)

// disk is what survives the agent and the machine: records as they would be
// written, so that nothing is shared with who wrote them.
type disk struct {
	identity local.Identity
	meta     map[string]*string
	allocs   map[string]*record
	writes   int
	// failAt has the agent die just before (negative: just after) its n-th write
	// from now on.
	failAt int
	full   bool
}

type record struct {
	// alloc is the allocation, of the one it was made from: it comes again and
	// again, and never changes. rest is the record but for it.
	alloc, rest []byte
	of          *structs.Allocation
	tasks       map[string][]byte
}

// errFull is what a full disk answers.
var errFull = errors.New("no space left on device")

// memory is the disk as one agent sees it.
type memory struct {
	d *disk
	m *virtual.Machine
	// kill ends the agent.
	kill func()
}

// write performs one write, unless the agent dies of it.
func (m memory) write(f func() error) error {
	switch {
	case m.m.Dead():
		return errors.New("the agent is dead")
	case m.d.full:
		return errFull
	}
	m.d.writes++
	before, after := false, false
	switch {
	case m.d.failAt > 0:
		m.d.failAt--
		before = m.d.failAt == 0
	case m.d.failAt < 0:
		m.d.failAt++
		after = m.d.failAt == 0
	}
	if before {
		m.kill()
	}
	err := f()
	if after {
		m.kill()
	}
	return err
}

// PutAlloc implements alloc.Memory.
func (m memory) PutAlloc(a *local.Alloc) error {
	fresh := record{of: a.Alloc, tasks: map[string][]byte{}}
	if old := m.d.allocs[a.Alloc.ID]; old != nil {
		fresh.tasks = old.tasks
		if old.of == a.Alloc {
			fresh.alloc = old.alloc
		}
	}
	var err error
	if fresh.alloc == nil {
		if fresh.alloc, err = json.Marshal(a.Alloc); err != nil {
			return fmt.Errorf("encode allocation: %w", err)
		}
	}
	rest := *a
	rest.Alloc = nil
	if fresh.rest, err = json.Marshal(&rest); err != nil {
		return fmt.Errorf("encode record of allocation: %w", err)
	}
	return m.write(func() error {
		m.d.allocs[a.Alloc.ID] = &fresh
		return nil
	})
}

// PutTask implements task.Memory.
func (m memory) PutTask(allocID, name string, t *local.Task) error {
	data, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("encode task: %w", err)
	}
	return m.write(func() error {
		if r := m.d.allocs[allocID]; r != nil {
			r.tasks[name] = data
		}
		return nil
	})
}

// DeleteAlloc implements alloc.Memory.
func (m memory) DeleteAlloc(id string) error {
	return m.write(func() error {
		delete(m.d.allocs, id)
		return nil
	})
}

// Allocs implements client.Memory.
func (m memory) Allocs() ([]*local.Alloc, error) {
	var out []*local.Alloc
	for _, id := range slices.Sorted(maps.Keys(m.d.allocs)) {
		r := m.d.allocs[id]
		a := &local.Alloc{Tasks: map[string]*local.Task{}}
		if err := json.Unmarshal(r.rest, a); err != nil {
			return nil, fmt.Errorf("read record of allocation: %w", err)
		}
		if err := json.Unmarshal(r.alloc, &a.Alloc); err != nil {
			return nil, fmt.Errorf("read allocation: %w", err)
		}
		for name, data := range r.tasks {
			t := &local.Task{}
			if err := json.Unmarshal(data, t); err != nil {
				return nil, fmt.Errorf("read task: %w", err)
			}
			a.Tasks[name] = t
		}
		out = append(out, a)
	}
	return out, nil
}

// Identity implements client.NodeMemory.
func (m memory) Identity() (local.Identity, error) { return m.d.identity, nil }

// PutIdentity implements client.NodeMemory.
func (m memory) PutIdentity(id local.Identity) error {
	m.d.identity = id
	return nil
}

// NodeMeta implements client.NodeMemory.
func (m memory) NodeMeta() (map[string]*string, error) {
	meta := maps.Clone(m.d.meta)
	if meta == nil {
		meta = map[string]*string{}
	}
	return meta, nil
}

// PutNodeMeta implements client.NodeMemory.
func (m memory) PutNodeMeta(meta map[string]*string) error {
	return m.write(func() error {
		m.d.meta = maps.Clone(meta)
		return nil
	})
}

// Close implements client.Memory.
func (m memory) Close() error { return nil }
