package server

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/steppe-run/steppe/server/members"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

func TestWhatAMemberCannotReadIsRefused(t *testing.T) {
	old := members.Member{Name: "s3.global", Version: "0.9.0", FeatureLevel: command.Level - 1}
	inner := &memoryJournal{store: state.New(state.Options{})}
	j := guarded{inner, func() members.Member { return old }}
	c := &command.UpsertNamespaces{Namespaces: []*structs.Namespace{{Name: "team"}}}
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
	if inner.index != 0 {
		t.Error("the change was proposed")
	}
	old.FeatureLevel = command.Level
	if _, err := j.Commit(context.Background(), c); err != nil || inner.index != 1 {
		t.Errorf("all can read it, yet: %v", err)
	}
}

func TestAnEntryOfTheFutureEndsTheServerWithoutHarm(t *testing.T) {
	store := state.New(state.Options{})
	f := newFSM(store)
	before := store.Snapshot().StateHash()
	for _, entry := range [][]byte{{1, 250, 1, 2}, {9, 1}, {}, nil} {
		if _, failed := f.Apply(7, entry).(error); !failed {
			t.Errorf("entry %v was applied", entry)
		}
	}
	if store.Snapshot().StateHash() != before {
		t.Error("the state changed")
	}
	known, err := command.Encode(&command.DeregisterJob{Namespace: "default", JobID: "web"})
	if err != nil {
		t.Fatal(err)
	}
	if _, failed := f.Apply(8, known).(error); !failed {
		t.Error("an entry after the unreadable one was applied")
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
