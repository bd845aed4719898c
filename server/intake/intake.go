// Package intake gathers what nodes report about their allocations: reports
// that arrive while one command is being committed go together into the next.
// An idle server commits at once, a busy one in batches.
//
// It must not know what is done with a batch: Commit is its owner's. Begin
// reading at Intake.
package intake

import (
	"context"
	"sync"

	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

// Commit stores a batch and returns the index. The updates are in the order in
// which they came.
type Commit func(ctx context.Context, updates []*structs.AllocUpdate) (uint64, error)

// maxBatch is how many updates go into one command.
const maxBatch = 4096

// Intake gathers updates. One goroutine runs it; any number submits.
type Intake struct {
	commit Commit

	mu      sync.Mutex
	pending []*report
	ended   error // why nothing is taken any more
	wake    chan struct{}
}

type report struct {
	updates []*structs.AllocUpdate
	done    chan struct{}
	index   uint64
	err     error
}

// New returns an intake that commits once Run runs.
func New(commit Commit) *Intake {
	return &Intake{commit: commit, wake: make(chan struct{}, 1)}
}

// Submit hands in updates and waits until they are stored.
func (in *Intake) Submit(ctx context.Context, updates []*structs.AllocUpdate) (uint64, error) {
	r := &report{updates: updates, done: make(chan struct{})}
	if err := in.add(r); err != nil {
		return 0, err
	}
	select {
	case in.wake <- struct{}{}:
	default: // already woken
	}
	if _, err := loop.Await(ctx, r.done); err != nil {
		return 0, err
	}
	return r.index, r.err
}

func (in *Intake) add(r *report) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.ended != nil {
		return in.ended
	}
	in.pending = append(in.pending, r)
	return nil
}

// Run commits until ctx ends; who still waits is told so.
func (in *Intake) Run(ctx context.Context) error {
	for {
		if _, err := loop.Await(ctx, in.wake); err != nil {
			in.refuse(err)
			return err
		}
		for batch := in.take(); len(batch) > 0; batch = in.take() {
			in.flush(ctx, batch)
		}
	}
}

func (in *Intake) take() []*report {
	in.mu.Lock()
	defer in.mu.Unlock()
	n, updates := 0, 0
	for n < len(in.pending) && (n == 0 || updates+len(in.pending[n].updates) <= maxBatch) {
		updates += len(in.pending[n].updates)
		n++
	}
	batch := in.pending[:n:n]
	in.pending = in.pending[n:]
	return batch
}

func (in *Intake) flush(ctx context.Context, batch []*report) {
	var updates []*structs.AllocUpdate
	for _, r := range batch {
		updates = append(updates, r.updates...)
	}
	index, err := in.commit(ctx, updates)
	for _, r := range batch {
		r.index, r.err = index, err
		close(r.done)
	}
}

func (in *Intake) refuse(err error) {
	in.mu.Lock()
	in.ended = err
	in.mu.Unlock()
	for batch := in.take(); len(batch) > 0; batch = in.take() {
		for _, r := range batch {
			r.err = err
			close(r.done)
		}
	}
}
