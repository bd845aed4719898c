package heartbeat

import (
	"fmt"
	"testing"
	"time"

	"github.com/steppe-run/steppe/structs"
)

func TestQuarantineEnd(t *testing.T) {
	at := time.Unix(1000, 0)
	for _, c := range []struct {
		losses, after int
		want          time.Duration // after the loss; 0: none
	}{
		{0, 3, 0}, {2, 3, 0}, {3, 3, 2 * time.Minute}, {4, 3, 4 * time.Minute}, {5, 3, 8 * time.Minute}, {6, 3, 10 * time.Minute},
		{1000, 3, 10 * time.Minute}, {1, 1, 2 * time.Minute}, {1000, -1, 0}, {1000, 0, 0},
	} {
		t.Run(fmt.Sprint(c.losses, " of ", c.after), func(t *testing.T) {
			end := QuarantineEnd(&structs.Node{Losses: c.losses, LostAt: at.Unix()}, c.after)
			switch {
			case c.want == 0 && !end.IsZero():
				t.Errorf("it ends at %s, want none", end)
			case c.want != 0 && end.Sub(at) != c.want:
				t.Errorf("it ends %s after the loss, want %s", end.Sub(at), c.want)
			}
		})
	}
}

func TestQuarantineIsDueWhenItEnds(t *testing.T) {
	var q Quarantine
	q.Note("b", time.Unix(20, 0).UnixNano())
	q.Note("a", time.Unix(20, 0).UnixNano())
	q.Note("c", time.Unix(30, 0).UnixNano())
	if due := q.Due(time.Unix(20, 0).Add(-1)); len(due) != 0 {
		t.Errorf("%v are due early", due)
	}
	if due := q.Due(time.Unix(20, 0)); fmt.Sprint(due) != "[a b]" {
		t.Errorf("%v are due, want a and b", due)
	}
	q.Note("a", 0)
	if due := q.Due(time.Unix(40, 0)); fmt.Sprint(due) != "[b c]" {
		t.Errorf("%v are due, want b and c", due)
	}
}
