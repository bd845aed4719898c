package periodic

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

func ptr[T any](v T) *T { return &v }

// start is one second past midnight.
var start = time.Date(2026, 11, 23, 0, 0, 1, 0, time.UTC)

// world is a store, a launcher and a clock that is moved by hand.
type world struct {
	t interface {
		Helper()
		Fatalf(format string, args ...any)
		Errorf(format string, args ...any)
	}
	store *state.Store
	core  *Launcher
	index uint64
	now   time.Time
	told  []string
}

func newWorld(t *testing.T) *world {
	return &world{t: t, store: state.New(state.Options{}), core: New(ids.New), now: start}
}

func (w *world) do(c command.Command) any {
	w.t.Helper()
	w.index++
	result := w.store.Apply(w.index, c)
	if err, failed := result.(error); failed {
		w.t.Fatalf("%T: %v", c, err)
	}
	return result
}

func (w *world) register(id string, change func(p *structs.PeriodicConfig), crons ...string) {
	w.t.Helper()
	j := &structs.Job{
		ID: &id, Type: ptr(structs.JobTypeBatch), Periodic: &structs.PeriodicConfig{Specs: crons}, SubmitTime: ptr(w.now.UnixNano()),
		TaskGroups: []*structs.TaskGroup{{Name: ptr("g"), Tasks: []*structs.Task{{Name: "t", Driver: "mock"}}}},
	}
	if change != nil {
		change(j.Periodic)
	}
	j.Canonicalize()
	w.do(&command.RegisterJob{Job: j, Now: w.now.UnixNano()})
	w.core.Note(j.NamespacedID())
}

// elect has another server lead: it knows nothing but the state.
func (w *world) elect() {
	w.core = New(ids.New)
	w.core.Reset(w.store.Snapshot())
}

// step looks at a time and stores what is due, until nothing is.
func (w *world) step() (wake time.Time) {
	w.t.Helper()
	for range 10 {
		due, wake := w.core.Step(w.store.Snapshot(), w.now)
		if len(due) == 0 {
			return wake
		}
		c := &command.LaunchJobs{Now: w.now.UnixNano()}
		for _, d := range due {
			c.Launches = append(c.Launches, d.Launch)
			if d.Launch.Note != "" {
				w.told = append(w.told, d.Launch.Note)
			}
		}
		if r := w.do(c).(*state.LaunchResult); len(r.Refused) > 0 {
			w.t.Fatalf("launches were refused: %v", r.Refused)
		}
	}
	w.t.Fatalf("there is always something due")
	return time.Time{}
}

// launched lists the launches of a job, as times of the day.
func (w *world) launched(id string) string {
	var out []string
	for j := range w.store.Snapshot().JobChildren("default", id) {
		var at int64
		if _, err := fmt.Sscanf(j.GetID(), id+"/periodic-%d", &at); err != nil {
			w.t.Fatalf("child %q: %v", j.GetID(), err)
		}
		out = append(out, time.Unix(at, 0).UTC().Format("15:04"))
	}
	return strings.Join(out, " ")
}

func (w *world) is(what, got, want string) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// at moves the clock to a time of the day.
func (w *world) at(clock string) *world {
	w.t.Helper()
	at, err := time.Parse("15:04", clock)
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	w.now = start.Truncate(24 * time.Hour).Add(time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute)
	return w
}

func TestLaunchesByTheSchedule(t *testing.T) {
	w := newWorld(t)
	w.register("cron", nil, "0 * * * *", "30 2 * * *")
	wake := w.step()
	w.is("before", w.launched("cron"), "")
	for wake.Before(start.Add(4 * time.Hour)) {
		w.now = wake
		wake = w.step()
	}
	w.is("launched", w.launched("cron"), "01:00 02:00 02:30 03:00 04:00")
	w.is("told", strings.Join(w.told, "\n"), "")
	child := w.store.Snapshot().Job("default", fmt.Sprintf("cron/periodic-%d", start.Truncate(time.Hour).Add(time.Hour).Unix()))
	if child == nil || child.IsPeriodic() || child.GetParentID() != "cron" || child.GetName() != child.GetID() {
		t.Errorf("the child is %+v", child)
	}
	for e := range w.store.Snapshot().EvalsByJob("default", child.GetID()) {
		w.is("trigger", e.TriggeredBy, structs.TriggerPeriodicJob)
	}
}

func TestWhatWasMissedIsTold(t *testing.T) {
	w := newWorld(t)
	w.register("cron", nil, "0 * * * *")
	w.at("01:00").step()
	w.at("05:20").elect()
	w.step()
	w.is("launched", w.launched("cron"), "01:00 05:00")
	want := "launch of 2026-11-23T05:00:00Z made 20m0s late; 3 before it were missed and left out"
	w.is("told", strings.Join(w.told, "\n"), want)
	snap := w.store.Snapshot()
	w.is("told by the job", *snap.Job("default", "cron").StatusDescription, want)
	w.is("told by the launch", *snap.Job("default", fmt.Sprintf("cron/periodic-%d", w.at("05:00").now.Unix())).StatusDescription, want)
	w.at("06:00").step()
	w.is("goes on", w.launched("cron"), "01:00 05:00 06:00")
}

// What was missed can be left out for good: the schedule goes on with its next
// time.
func TestMissedLaunchesMayBeLeftOut(t *testing.T) {
	w := newWorld(t)
	w.register("cron", func(p *structs.PeriodicConfig) { p.RunMissed = ptr(false) }, "0 * * * *")
	w.at("01:00").step()
	w.at("05:20").step()
	w.is("launched", w.launched("cron"), "01:00")
	want := "launch of 2026-11-23T05:00:00Z left out: its time was 20m0s ago, and run_missed is false; 3 before it were missed and left out"
	w.is("told", strings.Join(w.told, "\n"), want)
	w.is("told by the job", *w.store.Snapshot().Job("default", "cron").StatusDescription, want)
	w.at("05:30").step()
	w.is("it stays so", w.launched("cron"), "01:00")
	w.at("06:00").step()
	w.at("07:00").now = w.now.Add(20 * time.Second)
	w.step()
	w.is("what is a little late is not missed", w.launched("cron"), "01:00 06:00 07:00")
}

func TestNoOverlap(t *testing.T) {
	w := newWorld(t)
	alone := func(p *structs.PeriodicConfig) { p.ProhibitOverlap = ptr(true) }
	w.register("cron", alone, "0 * * * *")
	w.at("01:00").step()
	w.at("02:00").step()
	w.is("while one runs", w.launched("cron"), "01:00")
	w.is("told", strings.Join(w.told, "\n"), "launch of 2026-11-23T02:00:00Z left out: an earlier one is not done, and prohibit_overlap is set")
	var done []*structs.Evaluation
	for e := range w.store.Snapshot().Evals("*", "") {
		e = e.Clone()
		e.Status = structs.EvalStatusComplete
		done = append(done, e)
	}
	w.do(&command.UpsertEvals{Evals: done})
	w.at("02:30").step()
	w.is("what was left out is", w.launched("cron"), "01:00")
	w.at("03:00").step()
	w.is("when it is done", w.launched("cron"), "01:00 03:00")
}

func TestASpecificationThatChanges(t *testing.T) {
	w := newWorld(t)
	w.register("cron", nil, "0 * * * *")
	w.at("01:00").step()
	w.at("01:10").register("cron", nil, "5 * * * *")
	w.step()
	w.is("what the new one would have launched before", w.launched("cron"), "01:00")
	w.at("02:05").step()
	w.is("the new one", w.launched("cron"), "01:00 02:05")
	w.at("02:06").register("cron", func(p *structs.PeriodicConfig) { p.Enabled = ptr(false) }, "5 * * * *")
	w.at("04:00").step()
	w.is("disabled", w.launched("cron"), "01:00 02:05")
	w.at("04:06").register("cron", nil, "5 * * * *")
	w.at("05:05").step()
	w.is("enabled again", w.launched("cron"), "01:00 02:05 05:05")
	w.do(&command.DeregisterJob{Namespace: "default", JobID: "cron"})
	w.at("07:00").step() // without a note: it looks itself
	w.is("stopped", w.launched("cron"), "01:00 02:05 05:05")
	w.do(&command.DeregisterJob{Namespace: "default", JobID: "cron", Purge: true})
	w.at("09:00").step()
	w.is("purged", w.launched("cron"), "01:00 02:05 05:05")
}

// A launch that couldn't be stored is due again, and decided anew.
func TestALaunchIsDueUntilItIsSettled(t *testing.T) {
	w := newWorld(t)
	w.register("a", nil, "0 * * * *")
	w.register("b", nil, "0 * * * *")
	w.at("01:00")
	for range 2 {
		due, _ := w.core.Step(w.store.Snapshot(), w.now)
		if len(due) != 2 || due[0].Launch.JobID != "a" || due[1].Launch.JobID != "b" {
			t.Fatalf("due: %+v", due)
		}
	}
	w.at("02:00").step()
	w.is("launched", w.launched("a")+", "+w.launched("b"), "02:00, 02:00")
}

func TestNothingToLaunch(t *testing.T) {
	w := newWorld(t)
	if !w.core.Idle() || !w.step().IsZero() {
		t.Error("there is something without any job")
	}
	w.register("cron", nil, "0 * * * *")
	if w.core.Idle() {
		t.Error("a job that was noted is forgotten")
	}
	w.step()
	w.do(&command.DeregisterJob{Namespace: "default", JobID: "cron", Purge: true})
	w.core.Note(structs.NamespacedID{Namespace: "default", ID: "cron"})
	if w.step(); !w.core.Idle() {
		t.Error("a job that is gone is remembered")
	}
}

// Whatever happens to leaders and clocks: each instant of the schedule is
// launched at most once, what isn't is told, and none is launched that is not
// in the schedule.
func TestLaunchesAreMadeOnceWhateverHappens(t *testing.T) {
	crons := []string{"*/20 * * * *", "30 2 * * *", "0 * * * *", "*/7 1-3 * * *"}
	zones := []string{"UTC", "Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"}
	rapid.Check(t, func(rt *rapid.T) {
		cron, zone := rapid.SampledFrom(crons).Draw(rt, "cron"), rapid.SampledFrom(zones).Draw(rt, "zone")
		w := newWorld(t)
		w.t = rt
		w.now = time.Date(2026, rapid.SampledFrom([]time.Month{3, 4, 10, 11}).Draw(rt, "month"), rapid.IntRange(1, 30).Draw(rt, "day"), 0, 0, 1, 0, time.UTC)
		began := w.now
		w.register("cron", func(p *structs.PeriodicConfig) { p.TimeZone = &zone }, cron)
		schedule, err := w.store.Snapshot().Job("default", "cron").Periodic.Schedule()
		if err != nil {
			rt.Fatal(err)
		}
		highest := w.now
		made := map[int64]bool{}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			switch rapid.IntRange(0, 5).Draw(rt, "what") {
			case 0:
				w.elect()
			case 1: // the clock is set back
				w.now = w.now.Add(-time.Duration(rapid.IntRange(1, 7200).Draw(rt, "back")) * time.Second)
			case 2: // nobody leads for a while, or the clock is set forward
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 20000).Draw(rt, "gap")) * time.Second)
			case 3: // what was decided is lost
				w.core.Step(w.store.Snapshot(), w.now)
			default:
				if next := schedule.Next(w.now); !next.IsZero() {
					w.now = next.Add(time.Duration(rapid.IntRange(0, 3).Draw(rt, "lag")) * time.Second)
				}
			}
			before := len(made)
			w.step()
			for j := range w.store.Snapshot().JobChildren("default", "cron") {
				var at int64
				if _, err := fmt.Sscanf(j.GetID(), "cron/periodic-%d", &at); err != nil {
					rt.Fatal(err)
				}
				if !schedule.Next(time.Unix(at-1, 0)).Equal(time.Unix(at, 0)) {
					rt.Fatalf("launched at %s, which is not in the schedule", time.Unix(at, 0))
				}
				made[at] = true
			}
			if len(made) > before+1 {
				rt.Fatalf("%d launches at once", len(made)-before)
			}
			if w.now.After(highest) {
				highest = w.now
			}
		}
		// All that was due is either launched or counted among the missed.
		due := schedule.Count(began, highest.Add(time.Nanosecond), 100_000)
		missed := 0
		for _, text := range w.told {
			missed += missedOf(text)
		}
		if due != len(made)+missed {
			rt.Fatalf("%d launches were due, %d were made and %d told as missed: %v", due, len(made), missed, w.told)
		}
		if until := w.store.Snapshot().LaunchedUntil("default", "cron"); len(made) > 0 {
			last := slices.Max(slices.Collect(func(yield func(int64) bool) {
				for at := range made {
					if !yield(at) {
						return
					}
				}
			}))
			if until != last {
				rt.Fatalf("settled until %d, the last launch was at %d", until, last)
			}
		}
	})
}

func missedOf(note string) int {
	_, text, found := strings.Cut(note, "; ")
	n := 0
	switch {
	case !found:
	case strings.HasPrefix(text, "one "):
		n = 1
	default:
		_, _ = fmt.Sscanf(text, "%d", &n) // "or more" is beyond what the test makes
	}
	return n
}

// A thousand jobs of the same minute are launched together, and what is missed
// in a month without servers is counted without end.
func TestManyAndMuch(t *testing.T) {
	w := newWorld(t)
	for i := range 1000 {
		w.register(fmt.Sprintf("job-%03d", i), nil, "* * * * *")
	}
	w.step()
	w.at("00:01")
	due, _ := w.core.Step(w.store.Snapshot(), w.now)
	if len(due) != 1000 {
		t.Fatalf("%d are due", len(due))
	}
	w.now = w.now.AddDate(0, 1, 0)
	due, _ = w.core.Step(w.store.Snapshot(), w.now)
	if d := due[0]; d.Missed != maxMissed || !strings.HasSuffix(d.Launch.Note, "1000 or more before it were missed and left out") {
		t.Errorf("%d missed: %s", d.Missed, d.Launch.Note)
	}
}

func TestWhatUsersAreTold(t *testing.T) {
	for _, c := range []struct {
		d    Decision
		told bool
	}{
		{Decision{}, false},
		{Decision{Late: lateAfter}, false},
		{Decision{Late: lateAfter + time.Nanosecond}, true},
		{Decision{Missed: 1}, true},
		{Decision{Overlap: true}, true},
	} {
		if got := c.d.Remarkable(); got != c.told {
			t.Errorf("%+v is told: %v, want %v", c.d, got, c.told)
		}
	}
}
