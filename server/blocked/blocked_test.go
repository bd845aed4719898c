package blocked

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/steppe-run/steppe/structs"
)

// yard is the nodes of a test: what each has, by id.
type yard map[string]*Room

// Room implements Rooms.
func (y yard) Room(id string) (Room, bool) {
	r := y[id]
	if r == nil {
		return Room{}, false
	}
	return *r, true
}

func amounts(cpu, memory int64) structs.Comparable {
	return structs.Comparable{CPU: cpu, MemoryMB: memory, DiskMB: 100}
}

func (y yard) node(id, class string, free structs.Comparable) {
	y[id] = &Room{
		Node:  &structs.Node{ID: id, Name: id, ComputedClass: class, NodeClass: class},
		Total: amounts(4000, 4000), Free: free,
	}
}

// ofClass is a claim of allocations for nodes of one class.
func ofClass(class string, ask structs.Comparable, count int) Claim {
	return Claim{
		Key: class, Ask: ask, Count: count,
		Suits: func() func(*structs.Node) bool {
			return func(n *structs.Node) bool { return n.NodeClass == class }
		},
	}
}

func evaluation(id string, priority int, create, snapshot uint64) *structs.Evaluation {
	return &structs.Evaluation{
		ID: id, Namespace: "default", JobID: "job-" + id, Priority: priority,
		Status: structs.EvalStatusBlocked, CreateIndex: create, SnapshotIndex: snapshot,
	}
}

func names(evals []*structs.Evaluation) string {
	out := []string{}
	for _, e := range evals {
		out = append(out, e.ID)
	}
	return fmt.Sprint(out)
}

func expect(t *testing.T, got []*structs.Evaluation, want string) {
	t.Helper()
	if names(got) != want {
		t.Fatalf("woken %s, want %s", names(got), want)
	}
}

func TestPortsAreToldApart(t *testing.T) {
	y := yard{}
	y.node("n", "a", amounts(1000, 1000))
	y["n"].PortFree = func(port int) bool { return port != 55300 }
	tracker := New()
	for i, port := range []int{55300, 55400} { // neither is a letter
		claim := ofClass("a", amounts(100, 100), 1)
		claim.Ports = []int{port}
		tracker.Block(evaluation(strconv.Itoa(port), 50, uint64(i+1), 5), Need{Claims: []Claim{claim}})
	}
	tracker.Note("n", 7)
	expect(t, tracker.Match(y), "[55400]")
}

func TestWhoIsWokenByAChange(t *testing.T) {
	pinned := ofClass("a", amounts(100, 100), 1)
	pinned.Pin, pinned.Unique = Pin{Attribute: "${node.unique.name}", Value: "n"}, true
	elsewhere := pinned
	elsewhere.Pin.Value, elsewhere.Key = "other", "elsewhere"
	loose := ofClass("a", amounts(100, 100), 1)
	loose.Unique = true
	ported := ofClass("a", amounts(100, 100), 1)
	ported.Ports = []int{80}
	taken := ofClass("a", amounts(100, 100), 1)
	taken.Taken = func(n *structs.Node) bool { return n.ID == "n" }
	preempting := ofClass("a", amounts(3000, 100), 1)
	preempting.Preempts = true
	replacing := ofClass("a", amounts(1500, 100), 1)
	replacing.Replaces = map[string]structs.Comparable{"n": amounts(500, 100)}
	cases := []struct {
		name  string
		claim Claim
		port  bool // port 80 is free
		woken bool
	}{
		{"fits", ofClass("a", amounts(100, 100), 1), true, true},
		{"fits exactly", ofClass("a", amounts(1000, 1000), 1), true, true},
		{"lacks CPU", ofClass("a", amounts(1001, 100), 1), true, false},
		{"lacks memory", ofClass("a", amounts(100, 1001), 1), true, false},
		{"asks nothing", ofClass("a", structs.Comparable{}, 1), true, true},
		{"suits another class", ofClass("b", amounts(100, 100), 1), true, false},
		{"pinned here", pinned, true, true},
		{"pinned elsewhere", elsewhere, true, false},
		{"judged node by node", loose, true, true},
		{"its port is free", ported, true, true},
		{"its port is in use", ported, false, false},
		{"its own allocations are in the way", taken, true, false},
		{"preempts what is in use", preempting, true, true},
		{"replaces its own", replacing, true, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			y := yard{}
			y.node("n", "a", amounts(1000, 1000))
			y["n"].PortFree = func(int) bool { return c.port }
			tr := New()
			tr.Block(evaluation("e", 50, 5, 5), Need{Claims: []Claim{c.claim}})
			if got := tr.Match(y); len(got) > 0 {
				t.Fatal("woken by nothing")
			}
			tr.Note("n", 6)
			if got := len(tr.Match(y)) == 1; got != c.woken {
				t.Fatalf("woken %v, want %v", got, c.woken)
			}
		})
	}
}

func TestAsManyAreWokenAsThereIsRoomFor(t *testing.T) {
	y, tr := yard{}, New()
	y.node("n", "a", amounts(1000, 1000))
	block := func(e *structs.Evaluation, cpu int64, count int) {
		tr.Block(e, Need{Claims: []Claim{ofClass("a", amounts(cpu, 10), count)}})
	}
	y["n"].Free.DiskMB = 100_000
	block(evaluation("low", 10, 1, 5), 300, 1)
	block(evaluation("many", 70, 2, 5), 300, 2)
	block(evaluation("big", 90, 3, 5), 2000, 1)
	block(evaluation("old", 50, 4, 5), 300, 1)
	block(evaluation("young", 50, 5, 5), 300, 1)
	tr.Note("n", 6)
	// many takes 600, old 300, and 100 are left.
	expect(t, tr.Match(y), "[many old]")
	expect(t, tr.Match(y), "[]")
	// old is placed elsewhere: its room proves to be still there.
	tr.Forget(evaluation("old", 50, 4, 5))
	expect(t, tr.Match(y), "[young]")
	// many placed one here, and waits for room for one more.
	y["n"].Free.CPU = 700
	block(evaluation("many", 70, 2, 7), 300, 1)
	expect(t, tr.Match(y), "[low]")
	if tr.Len() != 2 {
		t.Fatalf("%d wait, want many and big", tr.Len())
	}
	// It has seen the room of n, and so sleeps when low leaves it.
	tr.Forget(evaluation("low", 10, 1, 5))
	expect(t, tr.Match(y), "[]")
	tr.Note("n", 8)
	expect(t, tr.Match(y), "[many]")
}

func TestAHungryJobKeepsItsTurn(t *testing.T) {
	y, tr := yard{}, New()
	for _, id := range []string{"n1", "n2", "n3"} {
		y.node(id, "a", amounts(100, 1000))
	}
	tr.Block(evaluation("many", 50, 1, 1), Need{Claims: []Claim{ofClass("a", amounts(100, 10), 2)}})
	tr.Block(evaluation("one", 50, 2, 1), Need{Claims: []Claim{ofClass("a", amounts(100, 10), 1)}})
	tr.Note("n1", 2)
	expect(t, tr.Match(y), "[many]")
	tr.Note("n2", 3) // many wants two
	expect(t, tr.Match(y), "[]")
	tr.Note("n3", 4)
	expect(t, tr.Match(y), "[one]")
}

func TestPortsArePromisedOnce(t *testing.T) {
	y, tr := yard{}, New()
	y.node("n", "a", amounts(1000, 1000))
	claim := ofClass("a", amounts(10, 10), 1)
	claim.Ports = []int{80}
	both := claim
	both.Ports = []int{80, 81}
	tr.Block(evaluation("e1", 50, 1, 1), Need{Claims: []Claim{claim}})
	tr.Block(evaluation("e2", 50, 2, 1), Need{Claims: []Claim{claim}})
	tr.Block(evaluation("e3", 50, 3, 1), Need{Claims: []Claim{both}})
	tr.Note("n", 2)
	expect(t, tr.Match(y), "[e1]")
	tr.Forget(evaluation("e1", 50, 1, 1))
	expect(t, tr.Match(y), "[e2]")
	tr.Forget(evaluation("e2", 50, 2, 1))
	expect(t, tr.Match(y), "[e3]")
}

func TestNoWakeUpIsLost(t *testing.T) {
	y, tr := yard{}, New()
	y.node("n", "a", amounts(1000, 1000))
	y["n"].Free.DiskMB = 10_000
	need := Need{Claims: []Claim{ofClass("a", amounts(10, 10), 1)}}
	tr.Note("n", 20)
	tr.Match(y)
	tr.Block(evaluation("before", 50, 21, 19), need)
	tr.Block(evaluation("after", 50, 21, 20), need)
	expect(t, tr.Match(y), "[before]")
	tr.WakeAll(25)
	expect(t, tr.Match(y), "[after]")
	tr.Block(evaluation("rules", 50, 26, 24), need)
	expect(t, tr.Match(y), "[rules]")
}

func TestOfTwoForOneJobTheLaterStays(t *testing.T) {
	y, tr := yard{}, New()
	y.node("n", "a", amounts(1000, 1000))
	need := Need{Claims: []Claim{ofClass("a", amounts(10, 10), 1)}}
	of := func(id string, create uint64) *structs.Evaluation {
		e := evaluation(id, 50, create, create)
		e.JobID = "job"
		return e
	}
	tr.Block(of("old", 5), need)
	tr.Block(of("new", 8), need)
	tr.Block(of("stale", 6), need)
	if tr.Len() != 1 {
		t.Fatalf("%d evaluations of one job wait", tr.Len())
	}
	tr.Forget(of("old", 5)) // the state has canceled it
	tr.Note("n", 9)
	expect(t, tr.Match(y), "[new]")
}

func TestWhatWakesWithoutRoom(t *testing.T) {
	y, tr := yard{}, New()
	outrun := evaluation("outrun", 50, 1, 1)
	outrun.TriggeredBy = structs.TriggerMaxPlans
	own := ofClass("a", amounts(10, 10), 1)
	own.Once = true
	plain := Need{Claims: []Claim{ofClass("a", amounts(10, 10), 1)}}
	tr.Block(outrun, plain)
	tr.Block(evaluation("full", 50, 2, 1), plain)
	tr.Block(evaluation("own", 50, 3, 1), Need{Claims: []Claim{own}})
	tr.WakeOutrun()
	expect(t, tr.Match(y), "[outrun]")
	for _, job := range []string{"job-full", "job-own"} {
		tr.WakeJob(structs.NamespacedID{Namespace: "default", ID: job})
	}
	expect(t, tr.Match(y), "[own]")
}
