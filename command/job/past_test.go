package job

import (
	"testing"

	"github.com/steppe-run/steppe/structs"
)

// TestAPurgedJobIsDead shows one that ran when it was purged.
func TestAPurgedJobIsDead(t *testing.T) {
	id := "web"
	was := &structs.Job{ID: &id, Status: new(structs.JobStatusRunning)}
	was.Canonicalize()
	now := purged(was)
	if now.GetStatus() != structs.JobStatusDead || !now.Stopped() || now.GetID() != id {
		t.Errorf("%s is %s, stopped %v", now.GetID(), now.GetStatus(), now.Stopped())
	}
	if was.GetStatus() != structs.JobStatusRunning || was.Stopped() {
		t.Error("what the history has was changed")
	}
}
