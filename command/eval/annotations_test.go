package eval

import (
	"testing"

	"github.com/steppe-run/steppe/structs"
)

func TestAnnotations(t *testing.T) {
	a := &structs.PlanAnnotations{DesiredTGUpdates: map[string]*structs.DesiredUpdates{"web": {
		Ignore: 1, Place: 2, Stop: 3, InPlaceUpdate: 4, DestructiveUpdate: 5, Migrate: 6, Canary: 7, Preemptions: 8,
		RescheduleNow: 9, RescheduleLater: 10, Disconnect: 11, Reconnect: 12,
	}}}
	want := "Task Group  Ignore  Place  Stop  InPlace  Destructive\n" +
		"web         1       2      3     4        5\n"
	if got := annotations(a, false); got != want {
		t.Errorf("got\n%s", got)
	}
	want = "Task Group  Ignore  Place  Stop  InPlace  Destructive  Migrate  Canary  Preemptions  Reschedule Now  Reschedule Later  Disconnect  Reconnect\n" +
		"web         1       2      3     4        5            6        7       8            9               10                11          12\n"
	if got := annotations(a, true); got != want {
		t.Errorf("got\n%s", got)
	}
}
