//go:build invariants

package server

import (
	"strings"
	"testing"

	"github.com/steppe-run/steppe/server/replica"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// A test build ends a server whose state isn't what its entries come to.
func TestTheJudgeComparesWhatEntriesComeTo(t *testing.T) {
	f := newFSM(state.New(state.Options{}))
	own := f.judge.(*judge).own
	if f.Apply(poolEntries(t, 1, "a", "b")); f.broken != nil {
		t.Fatalf("equal states are told apart: %v", f.broken)
	}
	own.Apply(3, &command.UpsertNodePools{Pools: []*structs.NodePool{{Name: "stray"}}})
	if f.Apply(poolEntries(t, 4, "c", "d")); f.broken == nil || !strings.Contains(f.broken.Error(), "entries 4 to 5 came to something else") {
		t.Errorf("what differs is not told: %v", f.broken)
	}
}

// poolEntries are entries that make a node pool each, from an index on.
func poolEntries(t *testing.T, from uint64, names ...string) []replica.Entry {
	t.Helper()
	var out []replica.Entry
	for i, name := range names {
		data, err := command.Encode(&command.UpsertNodePools{Pools: []*structs.NodePool{{Name: name}}})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, replica.Entry{Index: from + uint64(i), Data: data})
	}
	return out
}
