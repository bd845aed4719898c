package blocked

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/steppe-run/steppe/structs"
)

// cluster is nodes and jobs, with a scheduler that is simple and exact: an
// evaluation takes the first node with room for each of its allocations.
type cluster struct {
	yard  yard
	ids   []string
	index uint64
	waits map[string]*job
	ran   map[string]int // allocations placed, by job
	on    map[string][]placed
	tries int
	vain  int // evaluations that ran and placed nothing
}

type job struct {
	eval  *structs.Evaluation
	claim Claim
}

type placed struct {
	job  string
	took structs.Comparable
	port int
}

// waker is what is tested, and what wakes everything.
type waker interface {
	block(e *structs.Evaluation, c Claim)
	forget(e *structs.Evaluation)
	note(node string, index uint64)
	woken(y yard) []*structs.Evaluation
}

type tracked struct{ *Tracker }

func (t tracked) block(e *structs.Evaluation, c Claim) { t.Block(e, Need{Claims: []Claim{c}}) }
func (t tracked) forget(e *structs.Evaluation)         { t.Forget(e) }
func (t tracked) note(node string, index uint64)       { t.Note(node, index) }
func (t tracked) woken(y yard) []*structs.Evaluation   { return t.Match(y) }

// everybody wakes everything at each change.
type everybody struct {
	all   map[string]*structs.Evaluation
	noted bool
}

func (a *everybody) block(e *structs.Evaluation, _ Claim) { a.all[e.ID] = e }
func (a *everybody) forget(e *structs.Evaluation)         { delete(a.all, e.ID) }
func (a *everybody) note(string, uint64)                  { a.noted = true }
func (a *everybody) woken(yard) []*structs.Evaluation {
	if !a.noted {
		return nil
	}
	a.noted = false
	var ws []*waiter
	for _, e := range a.all {
		ws = append(ws, &waiter{eval: e})
	}
	slices.SortFunc(ws, before)
	var out []*structs.Evaluation
	for _, w := range ws {
		out = append(out, w.eval)
	}
	return out
}

func newCluster() *cluster {
	return &cluster{yard: yard{}, waits: map[string]*job{}, ran: map[string]int{}, on: map[string][]placed{}}
}

func (c *cluster) addNode(class string, total structs.Comparable) string {
	id := fmt.Sprintf("n%03d", len(c.ids))
	c.ids = append(c.ids, id)
	c.yard.node(id, class, total)
	c.yard[id].Total = total
	c.yard[id].PortFree = func(port int) bool {
		return !slices.ContainsFunc(c.on[id], func(p placed) bool { return p.port == port })
	}
	return id
}

// fits reports whether one more allocation of a claim fits a node.
func (c *cluster) fits(claim *Claim, id string) bool {
	r := c.yard[id]
	if !claim.Suits()(r.Node) || claim.Ask.Exceeds(r.Free) != "" || claim.Taken != nil && claim.Taken(r.Node) {
		return false
	}
	return !slices.ContainsFunc(claim.Ports, func(p int) bool { return !r.PortFree(p) })
}

// run schedules one evaluation and blocks it again if something is left.
func (c *cluster) run(j *job, w waker) {
	c.tries++
	before := j.claim.Count
	for _, id := range c.ids {
		for j.claim.Count > 0 && c.fits(&j.claim, id) {
			c.index++
			c.yard[id].Free.Subtract(j.claim.Ask)
			p := placed{job: j.eval.ID, took: j.claim.Ask}
			if len(j.claim.Ports) > 0 {
				p.port = j.claim.Ports[0]
			}
			c.on[id] = append(c.on[id], p)
			c.ran[j.eval.ID]++
			j.claim.Count--
		}
	}
	if j.claim.Count == before {
		c.vain++
	}
	if j.claim.Count == 0 {
		delete(c.waits, j.eval.ID)
		w.forget(j.eval)
		return
	}
	again := *j.eval
	again.SnapshotIndex = c.index
	j.eval = &again
	w.block(j.eval, j.claim)
}

// settle schedules what is woken until nothing is.
func (c *cluster) settle(w waker) {
	for {
		evals := w.woken(c.yard)
		if len(evals) == 0 {
			return
		}
		for _, e := range evals {
			if j := c.waits[e.ID]; j != nil {
				c.run(j, w)
			}
		}
	}
}

// end takes the n-th allocation off a node.
func (c *cluster) end(id string, n int, w waker) {
	if len(c.on[id]) == 0 {
		return
	}
	n %= len(c.on[id])
	c.index++
	c.yard[id].Free.Add(c.on[id][n].took)
	c.on[id] = slices.Delete(slices.Clone(c.on[id]), n, n+1)
	w.note(id, c.index)
}

// story is the same happenings told to two clusters.
type step struct {
	kind            string
	n, m, count     int
	class           string
	cpu, mem        int64
	priority, ports int
	taken           bool
}

func drawStep(t *rapid.T, i int) step {
	return step{
		kind:     rapid.SampledFrom([]string{"end", "end", "job", "job", "job", "node"}).Draw(t, fmt.Sprint("kind", i)),
		n:        rapid.IntRange(0, 50).Draw(t, "n"),
		m:        rapid.IntRange(0, 50).Draw(t, "m"),
		count:    rapid.IntRange(1, 4).Draw(t, "count"),
		class:    rapid.SampledFrom([]string{"a", "b"}).Draw(t, "class"),
		cpu:      int64(rapid.IntRange(0, 8).Draw(t, "cpu")) * 100,
		mem:      int64(rapid.IntRange(0, 8).Draw(t, "mem")) * 100,
		priority: rapid.SampledFrom([]int{10, 50, 50, 90}).Draw(t, "priority"),
		ports:    rapid.SampledFrom([]int{0, 0, 0, 80, 81}).Draw(t, "port"),
		taken:    rapid.IntRange(0, 5).Draw(t, "taken") == 0,
	}
}

func (c *cluster) play(i int, s step, w waker) {
	switch s.kind {
	case "end":
		c.end(c.ids[s.n%len(c.ids)], s.m, w)
	case "node":
		c.index++
		w.note(c.addNode(s.class, amounts(800, 800)), c.index)
	case "job":
		c.index++
		claim := ofClass(s.class, structs.Comparable{CPU: s.cpu, MemoryMB: s.mem, DiskMB: 10}, s.count)
		if s.ports > 0 {
			claim.Ports = []int{s.ports}
		}
		if s.taken {
			claim.Taken = func(n *structs.Node) bool { return n.ID < "n002" }
		}
		j := &job{eval: evaluation(fmt.Sprintf("e%03d", i), s.priority, c.index, c.index), claim: claim}
		c.waits[j.eval.ID] = j
		c.run(j, w)
	}
	c.settle(w)
}

// TestTheSameJobsRunAsIfEverybodyWereWoken tells the same story, one change at
// a time, to a cluster with a tracker and to one in which every change wakes
// everything: each job comes to run the same allocations, and no evaluation is
// woken in vain.
func TestTheSameJobsRunAsIfEverybodyWereWoken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := newCluster(), newCluster()
		wa, wb := tracked{New()}, &everybody{all: map[string]*structs.Evaluation{}}
		for _, class := range []string{"a", "b"} {
			a.addNode(class, amounts(800, 800))
			b.addNode(class, amounts(800, 800))
		}
		n := rapid.IntRange(1, 80).Draw(t, "steps")
		for i := range n {
			s := drawStep(t, i)
			tried, vain := a.tries, a.vain
			a.play(i, s, wa)
			b.play(i, s, wb)
			if s.kind != "job" && a.vain > vain {
				t.Fatalf("step %d %+v woke %d of %d in vain", i, s, a.vain-vain, a.tries-tried)
			}
			for id := range b.ran {
				if a.ran[id] != b.ran[id] {
					t.Fatalf("step %d %+v: %s runs %d, and %d where everybody is woken", i, s, id, a.ran[id], b.ran[id])
				}
			}
		}
		if len(a.waits) != wa.Len() {
			t.Fatalf("%d wait, the tracker has %d", len(a.waits), wa.Len())
		}
	})
}

// TestNobodySleepsBesideRoom has many changes at once, and checks that in the
// end nothing waits that would fit.
func TestNobodySleepsBesideRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, w := newCluster(), tracked{New()}
		for i := range 6 {
			c.addNode([]string{"a", "b"}[i%2], amounts(800, 800))
		}
		rounds := rapid.IntRange(1, 12).Draw(t, "rounds")
		for i := range rounds {
			for k := range rapid.IntRange(1, 10).Draw(t, "jobs") {
				s := drawStep(t, k)
				s.kind = "job"
				c.play(i*100+k, s, w)
			}
			for k := range rapid.IntRange(1, 12).Draw(t, "changes") {
				s := drawStep(t, k)
				if s.kind == "node" {
					c.index++
					w.note(c.addNode(s.class, amounts(800, 800)), c.index)
				} else {
					c.end(c.ids[s.n%len(c.ids)], s.m, w)
				}
			}
			c.settle(w)
			for _, j := range c.waits {
				for _, id := range c.ids {
					if c.fits(&j.claim, id) {
						t.Fatalf("%s sleeps although it fits %s", j.eval.ID, id)
					}
				}
			}
		}
	})
}

// BenchmarkChangesBesideManyBlocked has 100,000 evaluations wait, of which none
// fits, while 10,000 nodes change.
func BenchmarkChangesBesideManyBlocked(b *testing.B) {
	for _, waiting := range []int{1_000, 100_000} {
		b.Run(fmt.Sprint(waiting), func(b *testing.B) {
			y, tr := yard{}, New()
			random := rand.New(rand.NewPCG(1, 2))
			classes := []string{"a", "b", "c", "d"}
			for i := range 10_000 {
				y.node(fmt.Sprint("n", i), classes[i%4], amounts(random.Int64N(1000), random.Int64N(1000)))
			}
			for i := range waiting {
				// One that wants CPU, one that wants memory: each node has
				// enough of what the other wants.
				ask := amounts(1000+random.Int64N(3000), random.Int64N(1000))
				if i%2 == 0 {
					ask.CPU, ask.MemoryMB = ask.MemoryMB, ask.CPU
				}
				tr.Block(evaluation(fmt.Sprint("e", i), 50, uint64(i), uint64(i)), Need{Claims: []Claim{ofClass(classes[i%4], ask, 10)}})
			}
			tr.Match(y)
			index := uint64(waiting)
			for i := 0; b.Loop(); i++ {
				index++
				tr.Note(fmt.Sprint("n", i%10_000), index)
				if woken := tr.Match(y); len(woken) > 0 {
					b.Fatal("woken in vain: ", names(woken))
				}
			}
		})
	}
}
