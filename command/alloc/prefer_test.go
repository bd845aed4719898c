package alloc

import (
	"testing"

	"github.com/steppe-run/steppe/structs"
)

func TestPreferred(t *testing.T) {
	all := []*structs.AllocationListStub{
		{ID: "old", TaskGroup: "a", ClientStatus: structs.AllocClientComplete, CreateIndex: 1},
		{ID: "run1", TaskGroup: "a", ClientStatus: structs.AllocClientRunning, CreateIndex: 2},
		{ID: "run2", TaskGroup: "a", ClientStatus: structs.AllocClientRunning, CreateIndex: 3},
		{ID: "failed", TaskGroup: "a", ClientStatus: structs.AllocClientFailed, CreateIndex: 4},
		{ID: "b1", TaskGroup: "b", ClientStatus: structs.AllocClientComplete, CreateIndex: 5},
		{ID: "b2", TaskGroup: "b", ClientStatus: structs.AllocClientFailed, CreateIndex: 6},
	}
	for _, tc := range []struct {
		group string
		ended bool
		want  string
	}{
		{"", false, "run2"}, {"", true, "run2"}, {"a", true, "run2"}, {"b", false, ""}, {"b", true, "b2"}, {"c", true, ""},
	} {
		got := ""
		if a := preferred(all, tc.group, tc.ended); a != nil {
			got = a.ID
		}
		if got != tc.want {
			t.Errorf("preferred(%q, %v) = %q, want %q", tc.group, tc.ended, got, tc.want)
		}
	}
}
