package task

import "testing"

func TestStep(t *testing.T) {
	open, shut := Desired{Gate: true}, Desired{}
	stop := Desired{Gate: true, Stop: true}
	restart := Desired{Gate: true, Restart: true}
	for _, c := range []struct {
		what    string
		desired Desired
		seen    Observed
		want    Action
	}{
		{"new, its turn has not come", shut, Observed{Phase: PhaseNew}, ActWait},
		{"new, its turn has come", open, Observed{Phase: PhaseNew}, ActPrepare},
		{"new, to end", stop, Observed{Phase: PhaseNew}, ActFinish},
		{"prepared", open, Observed{Phase: PhasePrepared}, ActStart},
		{"prepared, to end", stop, Observed{Phase: PhasePrepared}, ActFinish},
		{"running", open, Observed{Phase: PhaseRunning}, ActWait},
		{"running, found again before its gate was opened", shut, Observed{Phase: PhaseRunning}, ActWait},
		{"running, to restart", restart, Observed{Phase: PhaseRunning}, ActKill},
		{"running, to end", stop, Observed{Phase: PhaseRunning}, ActKill},
		{"exited", open, Observed{Phase: PhaseExited}, ActDecide},
		{"exited on the way to a restart", restart, Observed{Phase: PhaseExited}, ActDecide},
		{"exited, to end", stop, Observed{Phase: PhaseExited}, ActFinish},
		{"in back-off", open, Observed{Phase: PhaseBackoff}, ActWait},
		{"in back-off, due", open, Observed{Phase: PhaseBackoff, Due: true}, ActStart},
		{"in back-off, a person is impatient", restart, Observed{Phase: PhaseBackoff}, ActStart},
		{"in back-off, to end", stop, Observed{Phase: PhaseBackoff, Due: true}, ActFinish},
		{"dead", open, Observed{Phase: PhaseDead}, ActReturn},
		{"dead, to end", stop, Observed{Phase: PhaseDead}, ActReturn},
	} {
		if got := Step(c.desired, c.seen); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}
