package explain

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/steppe-run/steppe/structs"
)

// emptied draws nodes of some sizes (in allocations of the job) and a job of which
// so many run on the first; it is drained.
func emptied(kind string, on, parallel int, rooms ...int) *world {
	w := &world{job: newJob(on, 100, 100)}
	w.job.Type = &kind
	w.job.TaskGroups[0].Migrate = &structs.MigrateStrategy{MaxParallel: &parallel, MinHealthyTime: ptr(10 * time.Second)}
	for i, room := range append([]int{on}, rooms...) {
		w.node(fmt.Sprintf("n%d", i), "a", 100*room, 100_000)
	}
	for i := range on {
		w.run(fmt.Sprintf("web.web[%d]", i), "n0", 0)
	}
	return w
}

// picture writes a plan in a few lines.
func picture(t testing.TB, w *world, spec structs.DrainSpec) string {
	t.Helper()
	p, err := Drain(w.input(), w.nodes[0], spec)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "fits %v: %s\n", p.Fits, p.Summary)
	for _, g := range p.Groups {
		fmt.Fprintln(&out, g.Summary)
		for _, a := range g.Allocs {
			fmt.Fprintf(&out, "%s %s %s %d %s", a.Name, a.Outcome, a.When, a.Round, a.NodeName)
			if a.AfterReplacement {
				fmt.Fprint(&out, " after its replacement")
			}
			fmt.Fprintln(&out)
		}
	}
	return strings.TrimSpace(out.String())
}

func TestWhatADrainWouldDo(t *testing.T) {
	hour := structs.DrainSpec{Deadline: time.Hour}
	const noRoom = "of 2 nodes, 1 is ineligible or draining and 1 has no room: cpu (n1 comes nearest, it lacks 100 MHz)"
	for _, c := range []struct {
		name string
		w    *world
		spec structs.DrainSpec
		with func(*world)
		want string
	}{
		{name: "nothing there", w: emptied("service", 0, 1, 3), spec: hour,
			want: `fits true: Nothing runs on node n0: its drain would be complete at once.`},
		{name: "down, and given up", w: emptied("service", 0, 1, 3), spec: hour, with: func(w *world) { w.nodes[0].Status = structs.NodeStatusDown },
			want: `fits true: Node n0 is down, and nothing is left to move from it: its drain would be complete at once. What may still run there is stopped when it is back.`},
		{name: "two at a time", w: emptied("service", 3, 2, 1, 2), spec: hour, want: `
fits true: Draining node n0 would move 3 allocations; it takes 2 rounds, 20s at least.
3 of 3 would move in 2 rounds, max_parallel 2.
web.web[0] moves round 1 n1
web.web[1] moves round 1 n2
web.web[2] moves round 2 n2`},
		{name: "not enough room: the rest waits for the deadline", w: emptied("service", 3, 1, 1), spec: hour, want: `
fits false: Draining node n0 would move 1 of 3 allocations; for 2 there is no room elsewhere; it takes 2 rounds, 20s at least.
1 of 3 would move in 2 rounds, one at a time (max_parallel 1); 1 of them not before the deadline, since too few others of the group would be healthy; 2 can't be placed elsewhere: ` + noRoom + `.
web.web[0] moves round 1 n1
web.web[1] unplaceable round 2 
web.web[2] unplaceable deadline 0`},
		{name: "not enough room and no deadline", w: emptied("service", 3, 1, 1), want: `
fits false: Draining node n0 would move 1 of 2 allocations; for 1 there is no room elsewhere; 1 would stay; it takes 2 rounds, 20s at least.
1 of 2 would move in 2 rounds, one at a time (max_parallel 1); 1 can't be placed elsewhere: ` + noRoom +
			`; 1 would stay: so few others of its group are healthy that migrate.max_parallel doesn't let it go, and there is no deadline.
web.web[0] moves round 1 n1
web.web[1] unplaceable round 2 
web.web[2] stays never 0`},
		{name: "forced", w: emptied("service", 2, 1, 2), spec: structs.DrainSpec{Deadline: -1}, want: `
fits true: Draining node n0 would move 2 allocations.
2 of 2 would move at once.
web.web[0] moves at once 0 n1
web.web[1] moves at once 0 n1`},
		{name: "batch moves at the deadline", w: emptied("batch", 1, 1, 1), spec: hour, want: `
fits true: Draining node n0 would move 1 allocation.
1 of 1 would move, unless they end before the deadline.
web.web[0] moves deadline 0 n1`},
		{name: "batch without a deadline", w: emptied("batch", 1, 1, 1), want: `
fits true: Draining node n0 would move 0 allocations; 1 would stay.
1 would stay: it runs to its end, and the drain waits for it: there is no deadline.
web.web[0] stays when it ends 0`},
		{name: "system jobs stop last", w: emptied("system", 1, 1, 1), spec: hour, want: `
fits true: Draining node n0 would move 0 allocations; 1 would stop without a successor.
1 of 1 would stop: it runs once on every node, and has no other.
web.web[0] stops last 0`},
		{name: "system jobs are ignored", w: emptied("system", 1, 1, 1), spec: structs.DrainSpec{IgnoreSystemJobs: true}, want: `
fits true: Draining node n0 would move 0 allocations; 1 would stay.
1 would stay: system jobs are ignored.
web.web[0] stays never 0`},
		{name: "a stopped job", w: emptied("service", 1, 1, 1), spec: hour, with: func(w *world) { w.job.Stop = ptr(true) }, want: `
fits true: Draining node n0 would move 0 allocations; 1 would stop without a successor.
1 of 1 would stop: its job no longer wants it.
web.web[0] stops at once 0`},
		{name: "one that isn't healthy goes first, the healthy once its successor is", w: emptied("service", 2, 1, 2), spec: hour, with: func(w *world) {
			w.allocs[1].ClientStatus = structs.AllocClientPending
		}, want: `
fits true: Draining node n0 would move 2 allocations; it takes 2 rounds, 20s at least.
2 of 2 would move in 2 rounds, one at a time (max_parallel 1).
web.web[0] moves round 2 n1
web.web[1] moves round 1 n1`},
		{name: "a count that shrank", w: emptied("service", 2, 1, 2), spec: hour, with: func(w *world) { w.job.TaskGroups[0].Count = ptr(1) }, want: `
fits true: Draining node n0 would move 1 allocation; 1 would stop without a successor; it takes 2 rounds, 20s at least.
1 of 1 would move in 2 rounds, one at a time (max_parallel 1); the last healthy one once its replacement, which runs beside it until then, is healthy; 1 would stop without a successor.
web.web[0] stops round 1 
web.web[1] moves round 2 n1 after its replacement`},
		{name: "its replacement runs beside it already", w: emptied("service", 1, 1, 2), spec: hour, with: func(w *world) {
			w.run("heir", "n1", 0)
			last, heir := w.allocs[0], w.allocs[1]
			heir.Name = last.Name
			last.NextAllocation, heir.PreviousAllocation = heir.ID, last.ID
			last.DesiredTransition = structs.DesiredTransition{Migrate: ptr(true), AfterReplacement: ptr(true)}
		}, want: `
fits true: Draining node n0 would move 1 allocation; it takes 1 round, 10s at least.
1 of 1 would move in 1 round, one at a time (max_parallel 1).
web.web[0] moves round 1 n1`},
		{name: "conditions", w: emptied("service", 1, 1, 3), spec: hour, with: func(w *world) {
			w.job.Constraints = []*structs.Constraint{{LTarget: "${attr.rack}", Operand: "=", RTarget: "b"}}
		}, want: `
fits false: Draining node n0 would move 0 of 1 allocation; for 1 there is no room elsewhere.
0 of 1 would move; the last healthy one stays until the deadline, unless a replacement for it finds room before; 1 can't be placed elsewhere: of 2 nodes, 1 is ineligible or draining and 1 fails ${attr.rack} = b.
web.web[0] unplaceable deadline 0  after its replacement`},
		{name: "the last one leaves once its replacement is healthy", w: emptied("service", 1, 1, 1), spec: hour, want: `
fits true: Draining node n0 would move 1 allocation; it takes 1 round, 10s at least.
1 of 1 would move in 1 round, one at a time (max_parallel 1); the last healthy one once its replacement, which runs beside it until then, is healthy.
web.web[0] moves round 1 n1 after its replacement`},
		{name: "and stays for good if there is no room for one", w: emptied("service", 1, 1, 0), want: `
fits false: Draining node n0 would move 0 allocations; 1 would stay.
1 would stay: it is the last healthy one of its group and leaves only once a replacement is healthy, for which there is no room: of 2 nodes, 1 is ineligible or draining and 1 has no room: cpu (n1 comes nearest, it lacks 100 MHz); there is no deadline.
web.web[0] stays never 0  after its replacement`},
		{name: "unless its successor needs its data", w: emptied("service", 1, 1, 1), spec: hour, with: func(w *world) {
			w.job.TaskGroups[0].EphemeralDisk.Sticky = ptr(true)
		}, want: `
fits true: Draining node n0 would move 1 allocation; it takes 1 round, 10s at least.
1 of 1 would move in 1 round, one at a time (max_parallel 1).
web.web[0] moves round 1 n1`},
		{name: "or another one serves elsewhere", w: emptied("service", 2, 2, 2), spec: hour, with: func(w *world) {
			w.allocs[1].NodeID = "n1"
		}, want: `
fits true: Draining node n0 would move 1 allocation; it takes 1 round, 10s at least.
1 of 1 would move in 1 round, max_parallel 2.
web.web[0] moves round 1 n1`},
		{name: "what is out of sight doesn't serve", w: emptied("service", 2, 2, 2), spec: hour, with: func(w *world) {
			w.allocs[1].NodeID, w.allocs[1].ClientStatus = "n1", structs.AllocClientUnknown
			w.allocs[1].DeploymentStatus = &structs.AllocDeploymentStatus{Healthy: ptr(true)}
		}, want: `
fits true: Draining node n0 would move 1 allocation; it takes 1 round, 10s at least.
1 of 1 would move in 1 round, max_parallel 2; the last healthy one once its replacement, which runs beside it until then, is healthy.
web.web[0] moves round 1 n1 after its replacement`},
		{name: "what a node gives up now doesn't serve", w: emptied("service", 2, 2, 2, 1), spec: hour, with: func(w *world) {
			w.allocs[1].NodeID = "n1"
			w.nodes[1].SchedulingEligibility = structs.NodeIneligible
			w.nodes[1].DrainStrategy = &structs.DrainStrategy{DrainSpec: structs.DrainSpec{Deadline: -1}}
		}, want: `
fits true: Draining node n0 would move 1 allocation; it takes 1 round, 10s at least.
1 of 1 would move in 1 round, max_parallel 2; the last healthy one once its replacement, which runs beside it until then, is healthy.
web.web[0] moves round 1 n2 after its replacement`},
		{name: "nor does what a drain takes at its deadline, once that is over", w: emptied("service", 2, 2, 2, 1), spec: hour, with: func(w *world) {
			w.allocs[1].NodeID = "n1"
			w.nodes[1].SchedulingEligibility = structs.NodeIneligible
			w.nodes[1].DrainStrategy = &structs.DrainStrategy{DrainSpec: structs.DrainSpec{Deadline: time.Hour}, ForceDeadline: w.input().Now}
		}, want: `
fits true: Draining node n0 would move 1 allocation; it takes 1 round, 10s at least.
1 of 1 would move in 1 round, max_parallel 2; the last healthy one once its replacement, which runs beside it until then, is healthy.
web.web[0] moves round 1 n2 after its replacement`},
		{name: "before that it does", w: emptied("service", 2, 2, 2, 1), spec: hour, with: func(w *world) {
			w.allocs[1].NodeID = "n1"
			w.nodes[1].SchedulingEligibility = structs.NodeIneligible
			w.nodes[1].DrainStrategy = &structs.DrainStrategy{DrainSpec: structs.DrainSpec{Deadline: time.Hour}, ForceDeadline: w.input().Now.Add(time.Second)}
		}, want: `
fits true: Draining node n0 would move 1 allocation; it takes 1 round, 10s at least.
1 of 1 would move in 1 round, max_parallel 2.
web.web[0] moves round 1 n2`},
		{name: "a canary that waits for its promotion doesn't serve", w: emptied("service", 2, 2, 2), spec: hour, with: func(w *world) {
			w.allocs[1].NodeID = "n1"
			w.allocs[1].DeploymentStatus = &structs.AllocDeploymentStatus{Healthy: ptr(true), Canary: true}
		}, want: `
fits true: Draining node n0 would move 1 allocation; it takes 1 round, 10s at least.
1 of 1 would move in 1 round, max_parallel 2; the last healthy one once its replacement, which runs beside it until then, is healthy.
web.web[0] moves round 1 n1 after its replacement`},
		{name: "and moves as what doesn't serve, without its successor serving", w: emptied("service", 2, 1, 2), spec: hour, with: func(w *world) {
			w.allocs[1].DeploymentStatus = &structs.AllocDeploymentStatus{Healthy: ptr(true), Canary: true}
		}, want: `
fits true: Draining node n0 would move 2 allocations; it takes 1 round, 10s at least.
2 of 2 would move in 1 round, one at a time (max_parallel 1); 1 of them not before the deadline, since too few others of the group would be healthy.
web.web[0] moves deadline 0 n1
web.web[1] moves round 1 n1`},
		{name: "all may go at a time, and the last when a successor of the others is healthy", w: emptied("service", 3, 3, 2), spec: hour, want: `
fits false: Draining node n0 would move 2 of 3 allocations; for 1 there is no room elsewhere; it takes 2 rounds, 20s at least.
2 of 3 would move in 2 rounds, max_parallel 3; 1 can't be placed elsewhere: ` + noRoom + `.
web.web[0] moves round 1 n1
web.web[1] moves round 1 n1
web.web[2] unplaceable round 2`},
		{name: "one that waits for its replacement goes on waiting", w: emptied("service", 1, 1, 0), spec: hour, with: func(w *world) {
			w.allocs[0].DesiredTransition = structs.DesiredTransition{Migrate: ptr(true), AfterReplacement: ptr(true)}
		}, want: `
fits false: Draining node n0 would move 0 of 1 allocation; for 1 there is no room elsewhere.
0 of 1 would move; the last healthy one stays until the deadline, unless a replacement for it finds room before; 1 can't be placed elsewhere: of 2 nodes, 1 is ineligible or draining and 1 has no room: cpu (n1 comes nearest, it lacks 100 MHz).
web.web[0] unplaceable deadline 0  after its replacement`},
		{name: "one whose replacement isn't healthy yet", w: emptied("service", 1, 1, 2), spec: hour, with: func(w *world) {
			w.run("heir", "n1", 0)
			last, heir := w.allocs[0], w.allocs[1]
			heir.Name, heir.ClientStatus = last.Name, structs.AllocClientPending
			last.NextAllocation, heir.PreviousAllocation = heir.ID, last.ID
			last.DesiredTransition = structs.DesiredTransition{Migrate: ptr(true), AfterReplacement: ptr(true)}
		}, want: `
fits true: Draining node n0 would move 1 allocation; it takes 1 round, 10s at least.
1 of 1 would move in 1 round, one at a time (max_parallel 1); the last healthy one once its replacement, which runs beside it until then, is healthy.
web.web[0] moves round 1 n1 after its replacement`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.with != nil {
				c.with(c.w)
			}
			if got, want := picture(t, c.w, c.spec), strings.TrimSpace(c.want); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// A rehearsal leaves the index as it was, and never puts more on a node than
// it holds.
func TestADrainThatIsRehearsedLeavesNoTrace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rooms := rapid.SliceOfN(rapid.IntRange(0, 3), 1, 4).Draw(t, "rooms")
		on := rapid.IntRange(0, 5).Draw(t, "on")
		w := emptied(rapid.SampledFrom([]string{"service", "batch"}).Draw(t, "kind"), on, rapid.IntRange(1, 3).Draw(t, "parallel"), rooms...)
		in := w.input()
		before := Capacity(in, w.job).Summary
		p, err := Drain(in, w.nodes[0], structs.DrainSpec{Deadline: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		if after := Capacity(in, w.job).Summary; after != before {
			t.Fatalf("before: %s\nafter: %s", before, after)
		}
		total, got := 0, map[string]int{}
		for _, n := range rooms {
			total += n
		}
		for _, g := range p.Groups {
			for _, a := range g.Allocs {
				if a.NodeName != "" {
					got[a.NodeName]++
				}
			}
		}
		for i, room := range rooms {
			if name := fmt.Sprintf("n%d", i+1); got[name] > room {
				t.Fatalf("%s would get %d and holds %d", name, got[name], room)
			}
		}
		if p.Moves != min(on, total) || p.Unplaceable != on-p.Moves || p.Fits != (on <= total) {
			t.Fatalf("%d leave for %d: %+v", on, total, p)
		}
	})
}

// TestADrainThatEvictsSaysWhom drains a node onto one that jobs of lower priority
// fill.
func TestADrainThatEvictsSaysWhom(t *testing.T) {
	w := &world{job: newJob(1, 600, 600)}
	w.node("n0", "a", 1000, 1000)
	w.node("n1", "a", 1000, 1000)
	w.job.ID, w.job.Priority = ptr("low"), ptr(20)
	w.run("low.web[0]", "n1", 0)
	w.allocs[0].JobID = "low"
	w.job = newJob(1, 900, 900)
	w.job.Priority = ptr(80)
	w.run("web.web[0]", "n0", 0)
	for _, may := range []bool{false, true} {
		in := w.input()
		in.Config = &structs.SchedulerConfiguration{PreemptionConfig: structs.PreemptionConfig{ServiceSchedulerEnabled: may}}
		p, err := Drain(in, w.nodes[0], structs.DrainSpec{Deadline: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		var whom []string
		for _, a := range p.Preempted {
			whom = append(whom, fmt.Sprintf("%s of %s, priority %d", a.Name, a.JobID, a.Priority))
		}
		want := ""
		if may {
			want = "low.web[0] of low, priority 20"
		}
		if got := strings.Join(whom, "; "); got != want || p.Fits != may {
			t.Errorf("may evict %v: it fits %v and evicts %q, want %q: %s", may, p.Fits, got, want, p.Summary)
		}
	}
}
