package clienttest

import (
	"context"
	"encoding/json"
	"errors"
	"sync"

	"github.com/steppe-run/steppe/client/local"
	"github.com/steppe-run/steppe/drivers"
)

// Catalog offers one Driver. It implements drivers.Catalog.
type Catalog struct{ driver *Driver }

// NewCatalog offers d under Name.
func NewCatalog(d *Driver) Catalog { return Catalog{d} }

// Names implements drivers.Catalog.
func (c Catalog) Names() []string { return []string{Name} }

// Driver implements drivers.Catalog.
func (c Catalog) Driver(name string) (drivers.Driver, error) {
	if name != Name {
		return nil, &drivers.UnknownDriverError{Name: name}
	}
	return c.driver, nil
}

// EncodeConfig implements drivers.Catalog. A block with the key "invalid" is
// refused.
func (c Catalog) EncodeConfig(_ context.Context, _ string, config map[string]any, _ map[string]string) ([]byte, error) {
	if _, ok := config["invalid"]; ok {
		return nil, errors.New("invalid label: invalid")
	}
	return json.Marshal(config)
}

// WatchFingerprints implements drivers.Catalog.
func (c Catalog) WatchFingerprints(ctx context.Context, emit func(string, *drivers.Fingerprint)) error {
	return c.driver.Fingerprint(ctx, func(fp *drivers.Fingerprint) error {
		emit(Name, fp)
		return nil
	})
}

// WatchEvents implements drivers.Catalog.
func (c Catalog) WatchEvents(ctx context.Context, emit func(string, *drivers.Event)) error {
	return c.driver.Events(ctx, func(e *drivers.Event) error {
		emit(Name, e)
		return nil
	})
}

// Memory keeps tasks and allocations where a test can look at them.
type Memory struct {
	mu     sync.Mutex
	tasks  map[string]*local.Task
	allocs map[string]*local.Alloc
	err    error
}

// Fail has everything that is to be stored refused with this error, until it
// is nil.
func (m *Memory) Fail(err error) {
	m.mu.Lock()
	m.err = err
	m.mu.Unlock()
}

// NewMemory makes an empty memory.
func NewMemory() *Memory {
	return &Memory{tasks: map[string]*local.Task{}, allocs: map[string]*local.Alloc{}}
}

// PutTask stores a task.
func (m *Memory) PutTask(allocID, name string, t *local.Task) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	m.tasks[allocID+"/"+name] = t
	return nil
}

// PutAlloc stores an allocation.
func (m *Memory) PutAlloc(a *local.Alloc) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	m.allocs[a.Alloc.ID] = a
	return nil
}

// DeleteAlloc forgets an allocation.
func (m *Memory) DeleteAlloc(id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	delete(m.allocs, id)
	return nil
}

// Task returns what was stored last of a task, or nil.
func (m *Memory) Task(allocID, name string) *local.Task {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tasks[allocID+"/"+name]
}

// Alloc returns what was stored last of an allocation with its tasks, or nil.
func (m *Memory) Alloc(id string) *local.Alloc {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.allocs[id]
	if a == nil {
		return nil
	}
	out := *a
	out.Tasks = map[string]*local.Task{}
	for key, t := range m.tasks {
		if len(key) > len(id) && key[:len(id)+1] == id+"/" {
			out.Tasks[key[len(id)+1:]] = t
		}
	}
	return &out
}
