// Package chronicle follows what leaves the state of a simulated cluster, has a
// real history keep it, and says what of it the history can't tell.
//
// It must not know stories or servers: it is given the changes, in their order.
// The history's disk isn't simulated: it is kept in memory. Begin reading at
// Chronicle.
package chronicle

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/steppe-run/steppe/server/history"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/structs"
)

// ages is how old anything may be: a cluster's time is any.
const ages = 100 * 365 * 24 * time.Hour

// Chronicle knows what left the state.
type Chronicle struct {
	kept *history.History
	left map[string]int
}

// New returns a chronicle of a state that nothing has left yet.
func New() (*Chronicle, error) {
	kept, err := history.Open(history.Config{MaxAge: ages, Queue: math.MaxInt})
	if err != nil {
		return nil, fmt.Errorf("open a history in memory: %w", err)
	}
	return &Chronicle{kept: kept, left: map[string]int{}}, nil
}

// Follow takes in what an entry changed.
func (c *Chronicle) Follow(change *feed.Change) {
	c.kept.Applied([]*feed.Change{change})
	for i := range change.Events {
		e := &change.Events[i]
		if v := e.OldAlloc(); v.Valid() && !e.NewAlloc().Valid() {
			c.left["allocation "+v.ID()]++
			continue
		}
		if e.New() != nil {
			continue
		}
		switch o := e.Old().(type) {
		case *structs.Job:
			if e.Kind() != feed.JobDeregistered { // its versions are told one by one
				c.left[versionName(o)]++
			}
		case *structs.Evaluation:
			c.left["evaluation "+o.ID]++
		case *structs.Deployment:
			c.left["deployment "+o.ID]++
		}
	}
}

func versionName(j *structs.Job) string {
	return fmt.Sprintf("version %d of job %s of %d", j.GetVersion(), j.GetID(), j.GetCreateIndex())
}

// Missing says what left the state and can't be found in the history, and what the
// history tells that didn't leave.
func (c *Chronicle) Missing(ctx context.Context) ([]string, error) {
	found := map[string]int{}
	for q := (history.Query{Limit: 1000, Objects: true}); ; {
		page, err := c.kept.Find(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("read the history: %w", err)
		}
		for _, e := range page.Entries {
			found[name(e)]++
		}
		if q.Before = page.Next; page.Next == (history.Position{}) {
			break
		}
	}
	var out []string
	for what, n := range c.left {
		if found[what] != n {
			out = append(out, fmt.Sprintf("%s left the state %d times, the history has it %d times", what, n, found[what]))
		}
	}
	for what := range found {
		if c.left[what] == 0 {
			out = append(out, "the history has "+what+", which hasn't left the state")
		}
	}
	slices.SortFunc(out, strings.Compare)
	return out, nil
}

func name(e *structs.HistoryEntry) string {
	switch {
	case e.Job != nil:
		return versionName(e.Job)
	case e.Evaluation != nil:
		return "evaluation " + e.Evaluation.ID
	case e.Allocation != nil:
		return "allocation " + e.Allocation.ID
	case e.Deployment != nil:
		return "deployment " + e.Deployment.ID
	}
	return "an entry without an object"
}
