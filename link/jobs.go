package link

import (
	"sync"

	"github.com/steppe-run/steppe/link/linkpb"
	"github.com/steppe-run/steppe/structs"
)

// jobRef names a job version for all time.
type jobRef struct {
	namespace, id        string
	version, createIndex uint64
}

func refOf(r *linkpb.JobRef) jobRef {
	return jobRef{r.GetNamespace(), r.GetId(), r.GetVersion(), r.GetCreateIndex()}
}

// jobCache keeps the job versions that the node's allocations are of, so that
// each travels once.
type jobCache struct {
	mu      sync.Mutex
	jobs    map[jobRef]*structs.Job
	byAlloc map[string]jobRef
}

func newJobCache() *jobCache {
	return &jobCache{jobs: map[jobRef]*structs.Job{}, byAlloc: map[string]jobRef{}}
}

// get returns a job version, fetched if it isn't there.
func (c *jobCache) get(ref jobRef, fetch func() (*structs.Job, error)) (*structs.Job, error) {
	c.mu.Lock()
	job := c.jobs[ref]
	c.mu.Unlock()
	if job != nil {
		return job, nil
	}
	job, err := fetch()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.jobs[ref] = job
	return job, nil
}

// keep notes which allocations the node has now, and forgets the versions that
// none of them is of.
func (c *jobCache) keep(refs map[string]jobRef, set *AllocSet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if set.Full {
		c.byAlloc = map[string]jobRef{}
	}
	for id, ref := range refs {
		c.byAlloc[id] = ref
	}
	for _, id := range set.Removed {
		delete(c.byAlloc, id)
	}
	used := make(map[jobRef]bool, len(c.jobs))
	for _, ref := range c.byAlloc {
		used[ref] = true
	}
	for ref := range c.jobs {
		if !used[ref] {
			delete(c.jobs, ref)
		}
	}
}
