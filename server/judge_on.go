//go:build invariants

package server

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/steppe-run/steppe/server/replica"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/state/invariant"
)

// judge holds the rules of package invariant against every entry, in builds for
// tests (-tags invariants): a server that breaks one ends. It applies the
// entries to a state of its own, one at a time, so that each is judged alone and
// that what was committed together is known to have come to the same.
type judge struct {
	own   *state.Store
	rules *invariant.Watch
}

func newJudge() *judge {
	j := &judge{own: state.New(state.Options{})}
	j.rules = invariant.NewWatch(j.own.Snapshot())
	return j
}

// applied judges entries that the server's state has just taken.
func (j *judge) applied(entries []replica.Entry, real *state.Store) error {
	var broken []error
	for _, e := range entries {
		c, err := command.Decode(e.Data)
		if err != nil {
			return nil // the server ends of it by itself
		}
		j.own.Apply(e.Index, c)
		for _, v := range j.rules.Entry(j.own) {
			broken = append(broken, v)
		}
	}
	if len(entries) > 1 && j.own.Snapshot().StateHash() != real.Snapshot().StateHash() {
		broken = append(broken, fmt.Errorf("entries %d to %d came to something else together than one by one",
			entries[0].Index, entries[len(entries)-1].Index))
	}
	return errors.Join(broken...)
}

// restored begins again with a state that was put in the place of the last one.
func (j *judge) restored(real *state.Store) error {
	var data bytes.Buffer
	if err := real.Snapshot().Persist(&data); err != nil {
		return err
	}
	if err := j.own.Restore(&data); err != nil {
		return err
	}
	j.rules = invariant.NewWatch(j.own.Snapshot())
	return nil
}
