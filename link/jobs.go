package link

import (
	"maps"
	"slices"
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
	jobs    map[jobRef]*cachedJob
	byAlloc map[string]jobRef
}

// cachedJob is a job version and how many of the node's allocations are of it.
type cachedJob struct {
	job *structs.Job
	of  int
}

func newJobCache() *jobCache {
	return &jobCache{jobs: map[jobRef]*cachedJob{}, byAlloc: map[string]jobRef{}}
}

// get returns a job version, fetched if it isn't there.
func (c *jobCache) get(ref jobRef, fetch func() (*structs.Job, error)) (*structs.Job, error) {
	c.mu.Lock()
	cached := c.jobs[ref]
	c.mu.Unlock()
	if cached != nil {
		return cached.job, nil
	}
	job, err := fetch()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.jobs[ref] = &cachedJob{job: job}
	return job, nil
}

// keep notes which allocations the node has now, and forgets the versions that
// none of them is of any more.
func (c *jobCache) keep(refs map[string]jobRef, set *AllocSet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var left []jobRef // by one allocation each
	if set.Full {
		left = slices.Collect(maps.Values(c.byAlloc))
		clear(c.byAlloc)
	}
	for id, ref := range refs {
		if old, had := c.byAlloc[id]; had {
			left = append(left, old)
		}
		c.byAlloc[id] = ref
		c.jobs[ref].of++
	}
	for _, id := range set.Removed {
		if old, had := c.byAlloc[id]; had {
			left = append(left, old)
			delete(c.byAlloc, id)
		}
	}
	for _, ref := range left {
		c.jobs[ref].of--
	}
	c.forget(left, set.Full)
}

// forget drops the versions named that no allocation is of; with all also
// those that were fetched for a set which then failed.
func (c *jobCache) forget(refs []jobRef, all bool) {
	if all {
		refs = slices.Collect(maps.Keys(c.jobs))
	}
	for _, ref := range refs {
		if cached := c.jobs[ref]; cached != nil && cached.of == 0 {
			delete(c.jobs, ref)
		}
	}
}
