package dns

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/structs"
)

// defaultNamespace is that of names that tell none.
const defaultNamespace = structs.DefaultNamespace

// fileName is where the cache is kept, in the node's state directory.
const fileName = "services.json"

// maxFile is the largest file that is read back.
const maxFile = 256 << 20

// cache is every registration of the region, as the servers told last. Those who
// ask find what they ask for under its name.
type cache struct {
	path string // "" keeps nothing

	mu     sync.RWMutex
	index  uint64
	filled bool // something was heard, in this life or an earlier one
	byID   map[string]*structs.ServiceRegistration
	byName map[string]map[string]*structs.ServiceRegistration // by NAMESPACE/NAME in lower case, then by id
}

// saved is the cache as a file.
type saved struct {
	Index    uint64
	Services []*structs.ServiceRegistration
}

func newCache(dir string) *cache {
	c := &cache{}
	if dir != "" {
		c.path = filepath.Join(dir, fileName)
	}
	c.clearLocked()
	return c
}

func (c *cache) clearLocked() {
	c.byID = map[string]*structs.ServiceRegistration{}
	c.byName = map[string]map[string]*structs.ServiceRegistration{}
}

// load takes in what an earlier life of the agent knew. It isn't resumed from:
// the first set of the servers replaces it.
func (c *cache) load() error {
	if c.path == "" {
		return nil
	}
	info, err := os.Stat(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.Size() > maxFile {
		err = fmt.Errorf("it has %d bytes", info.Size())
	}
	if err != nil {
		return fmt.Errorf("read known services: %w", err)
	}
	data, err := os.ReadFile(c.path)
	if err != nil {
		return fmt.Errorf("read known services: %w", err)
	}
	var s saved
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("read known services: %w", err)
	}
	c.take(&link.ServiceSet{Full: true, Upserts: s.Services})
	return nil
}

// save writes the cache to its file, whole or not at all.
func (c *cache) save() error {
	if c.path == "" {
		return nil
	}
	c.mu.RLock()
	s := saved{Index: c.index, Services: make([]*structs.ServiceRegistration, 0, len(c.byID))}
	for _, r := range c.byID {
		s.Services = append(s.Services, r)
	}
	c.mu.RUnlock()
	slices.SortFunc(s.Services, func(a, b *structs.ServiceRegistration) int { return strings.Compare(a.ID, b.ID) })
	data, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("write known services: %w", err)
	}
	next := c.path + ".new"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return fmt.Errorf("write known services: %w", err)
	}
	if err := os.Rename(next, c.path); err != nil {
		return fmt.Errorf("write known services: %w", err)
	}
	return nil
}

// take brings the cache up to date.
func (c *cache) take(set *link.ServiceSet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if set.Full {
		c.clearLocked()
	}
	for _, key := range set.Removed {
		c.dropLocked(key)
	}
	for _, r := range set.Upserts {
		if r == nil {
			continue
		}
		key := r.Namespace + "/" + r.ID
		c.dropLocked(key)
		c.byID[key] = r
		name := nameKey(r)
		if c.byName[name] == nil {
			c.byName[name] = map[string]*structs.ServiceRegistration{}
		}
		c.byName[name][r.ID] = r
	}
	c.index, c.filled = set.Index, true
}

func (c *cache) dropLocked(key string) {
	r := c.byID[key]
	if r == nil {
		return
	}
	delete(c.byID, key)
	name := nameKey(r)
	if delete(c.byName[name], r.ID); len(c.byName[name]) == 0 {
		delete(c.byName, name)
	}
}

func nameKey(r *structs.ServiceRegistration) string {
	return strings.ToLower(r.Namespace + "/" + r.ServiceName)
}

// find returns the healthy instances that a question is about, in no order, and
// whether there are any at all, healthy or not.
func (c *cache) find(q question) (healthy []*structs.ServiceRegistration, known bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, r := range c.byName[q.namespace+"/"+q.name] {
		if q.tag != "" && !slices.ContainsFunc(r.Tags, func(tag string) bool { return strings.EqualFold(tag, q.tag) }) {
			continue
		}
		known = true
		if r.Healthy() {
			healthy = append(healthy, r)
		}
	}
	return healthy, known
}

// ready reports whether anything was ever heard.
func (c *cache) ready() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.filled
}
