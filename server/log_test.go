package server

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/steppe-run/steppe/server/control"
	"github.com/steppe-run/steppe/server/members"
	"github.com/steppe-run/steppe/server/placer"
	"github.com/steppe-run/steppe/server/replica"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

func TestWhatAMemberCannotReadIsRefused(t *testing.T) {
	old := members.Member{Name: "s3.global", Version: "0.9.0", FeatureLevel: command.Level - 1}
	inner := &countingJournal{}
	j := guarded{inner, func() members.Member { return old }}
	c := &command.UpsertServices{} // of the newest level
	_, commitErr := j.Commit(t.Context(), c)
	_, proposeErr := j.Propose(c)
	for _, err := range []error{commitErr, proposeErr} {
		var outdated *OutdatedMemberError
		var refusal *structs.Error
		if !errors.As(err, &outdated) || outdated.Member != old.Name || !errors.As(err, &refusal) || refusal.Kind != structs.KindUnavailable {
			t.Fatalf("the change was answered by %v", err)
		}
		for _, part := range []string{"s3.global", "0.9.0", "upgrade", "server force-leave"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q doesn't say %q", err, part)
			}
		}
	}
	if inner.commits != 0 {
		t.Error("the change was proposed")
	}
	old.FeatureLevel = command.Level
	if _, err := j.Commit(context.Background(), c); err != nil || inner.commits != 1 {
		t.Errorf("all can read it, yet: %v", err)
	}
}

func TestAnEntryOfTheFutureEndsTheServerWithoutHarm(t *testing.T) {
	store := state.New(state.Options{})
	f := newFSM(store)
	known, err := command.Encode(&command.UpsertNamespaces{Namespaces: []*structs.Namespace{{Name: "team"}}})
	if err != nil {
		t.Fatal(err)
	}
	results := f.Apply([]replica.Entry{{Index: 7, Data: known}, {Index: 8, Data: []byte{1, 250, 1, 2}}, {Index: 9, Data: known}})
	if len(results) != 3 {
		t.Fatalf("%d results for three entries", len(results))
	}
	if err, failed := results[0].(error); failed || store.Index() != 7 {
		t.Errorf("the entry before the unreadable one: %v, the store is at %d", err, store.Index())
	}
	before := store.Snapshot().StateHash()
	for i, result := range results[1:] {
		if _, failed := result.(error); !failed {
			t.Errorf("entry %d was applied", 8+i)
		}
	}
	for _, entry := range [][]byte{{9, 1}, {}, nil, known} {
		if _, failed := f.Apply([]replica.Entry{{Index: 10, Data: entry}})[0].(error); !failed {
			t.Errorf("entry %v was applied after the unreadable one", entry)
		}
	}
	if store.Snapshot().StateHash() != before {
		t.Error("the state changed")
	}
	if _, err := f.Snapshot(); err == nil {
		t.Error("a snapshot was taken that hides the unreadable entry")
	}
	err = f.watch(t.Context())
	var unknown *command.UnknownEntryError
	if !errors.As(err, &unknown) || !strings.Contains(err.Error(), "upgrade this server") {
		t.Errorf("the server ends with %v", err)
	}
}

// countingJournal takes everything and counts it.
type countingJournal struct {
	control.Journal
	commits int
}

// Commit implements control.Journal.
func (j *countingJournal) Commit(context.Context, command.Command) (any, error) {
	j.commits++
	return &state.Applied{}, nil
}

// Propose implements control.Journal.
func (j *countingJournal) Propose(command.Command) (placer.Future, error) {
	j.commits++
	return nil, nil
}
