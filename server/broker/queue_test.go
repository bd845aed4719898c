package broker

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/steppe-run/steppe/structs"
)

var start = time.Unix(1_700_000_000, 0)

func eval(id, job string, priority int, index uint64) *structs.Evaluation {
	return &structs.Evaluation{
		ID: id, Namespace: "default", JobID: job, Priority: priority,
		CreateIndex: index, ModifyIndex: index, Status: structs.EvalStatusPending,
	}
}

func taken(ds []Delivery) string {
	out := ""
	for _, d := range ds {
		out += d.Eval.ID + " "
	}
	return out
}

func TestTakeOrdersByPriorityThenAge(t *testing.T) {
	q := NewQueue(Options{})
	q.Enqueue(eval("young", "a", 50, 9), start)
	q.Enqueue(eval("old", "b", 50, 3), start)
	q.Enqueue(eval("urgent", "c", 90, 12), start)
	if got, want := taken(q.Take(10, start)), "urgent old young "; got != want {
		t.Fatalf("took %q, want %q", got, want)
	}
}

func TestOneEvaluationOfAJobRunsAndTheLatestOfTheOthersFollows(t *testing.T) {
	q := NewQueue(Options{})
	for i, id := range []string{"first", "second", "third", "fourth"} {
		q.Enqueue(eval(id, "job", 50, uint64(i+1)), start)
	}
	if got := taken(q.Take(10, start)); got != "first " {
		t.Fatalf("took %q at once", got)
	}
	if got := taken(q.Take(10, start)); got != "" {
		t.Fatalf("took %q while another evaluation of the job runs", got)
	}
	q.Ack("first", start)
	if got := taken(q.Take(10, start)); got != "fourth " {
		t.Fatalf("took %q after the first was done", got)
	}
	if n := len(q.Superseded()); n != 2 {
		t.Fatalf("%d evaluations superseded, want second and third", n)
	}
	q.Forget("second")
	q.Forget("third")
	q.Ack("fourth", start)
	if s := q.Stats(); s != (Stats{}) {
		t.Fatalf("something is left: %+v", s)
	}
}

func TestFailedDeliveriesAreRetriedThenGivenUp(t *testing.T) {
	q := NewQueue(Options{})
	q.Enqueue(eval("e", "job", 50, 1), start)
	now := start
	for i, wait := range []time.Duration{time.Second, 20 * time.Second} {
		d := q.Take(1, now)
		if len(d) != 1 || d[0].Attempt != i+1 {
			t.Fatalf("delivery %d: %+v", i+1, d)
		}
		q.Nack("e", now)
		if early := q.Take(1, now.Add(wait-time.Millisecond)); len(early) != 0 {
			t.Fatalf("delivered again before %s had passed", wait)
		}
		now = now.Add(wait)
	}
	if got := taken(q.Take(1, now)); got != "e " {
		t.Fatalf("third delivery: %q", got)
	}
	q.Nack("e", now)
	if dead := q.Dead(); len(dead) != 1 || dead[0].ID != "e" {
		t.Fatalf("dead: %v", dead)
	}
	if got := taken(q.Take(1, now.Add(time.Hour))); got != "" {
		t.Fatalf("%q was delivered a fourth time", got)
	}
}

func TestADelayedEvaluationBlocksNobody(t *testing.T) {
	q := NewQueue(Options{})
	later := eval("later", "job", 50, 1)
	later.WaitUntil = start.Add(time.Minute)
	q.Enqueue(later, start)
	q.Enqueue(eval("now", "job", 50, 2), start)
	if got := taken(q.Take(5, start)); got != "now " {
		t.Fatalf("took %q", got)
	}
	q.Ack("now", start)
	if due, ok := q.NextDue(); !ok || !due.Equal(later.WaitUntil) {
		t.Fatalf("next due %v, %v", due, ok)
	}
	if got := taken(q.Take(5, start.Add(time.Minute))); got != "later " {
		t.Fatalf("took %q when it was due", got)
	}
}

func TestANewerFormOfARunningEvaluationRunsAgain(t *testing.T) {
	q := NewQueue(Options{})
	q.Enqueue(eval("e", "job", 50, 1), start)
	q.Take(1, start)
	again := eval("e", "job", 50, 1)
	again.ModifyIndex = 2 // the very next
	q.Enqueue(again, start)
	q.Ack("e", start)
	ds := q.Take(1, start)
	if len(ds) != 1 || ds[0].Eval.ModifyIndex != 2 {
		t.Fatalf("took %+v", ds)
	}
}

func TestBeyondItsLimitTheQueueAsksForAnotherOffer(t *testing.T) {
	q := NewQueue(Options{Limit: 4})
	for i := range 6 {
		q.Enqueue(eval(fmt.Sprint(i), fmt.Sprint(i), 50, uint64(i+1)), start)
	}
	if q.Missed() {
		t.Fatal("asks for another offer while it is full")
	}
	for _, d := range q.Take(3, start) {
		q.Ack(d.Eval.ID, start)
	}
	if !q.Missed() || q.Missed() {
		t.Fatal("must ask for another offer exactly once when there is room")
	}
}

// TestQueueKeepsItsPromises drives a queue at random beside a plain model.
func TestQueueKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := NewQueue(Options{})
		now := start
		running := map[string]*structs.Evaluation{} // by job
		alive := map[string]bool{}
		index := uint64(0)
		check := func(ds []Delivery) {
			for i, d := range ds {
				if running[d.Eval.JobID] != nil {
					t.Fatalf("two evaluations of job %s run", d.Eval.JobID)
				}
				if !alive[d.Eval.ID] {
					t.Fatalf("%s was delivered though it is over", d.Eval.ID)
				}
				if d.Eval.WaitUntil.After(now) {
					t.Fatalf("%s was delivered %s early", d.Eval.ID, d.Eval.WaitUntil.Sub(now))
				}
				if i > 0 && ds[i-1].Eval.Priority < d.Eval.Priority {
					t.Fatalf("a lower priority went first")
				}
				running[d.Eval.JobID] = d.Eval
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"enqueue": func(t *rapid.T) {
				index++
				e := eval(fmt.Sprint("e", index), fmt.Sprint("j", rapid.IntRange(0, 4).Draw(t, "job")),
					rapid.IntRange(1, 3).Draw(t, "priority"), index)
				if rapid.Bool().Draw(t, "delayed") {
					e.WaitUntil = now.Add(time.Duration(rapid.IntRange(1, 60).Draw(t, "wait")) * time.Second)
				}
				alive[e.ID] = true
				q.Enqueue(e, now)
			},
			"take": func(t *rapid.T) { check(q.Take(rapid.IntRange(1, 5).Draw(t, "limit"), now)) },
			"end": func(t *rapid.T) {
				for job, e := range running {
					delete(running, job)
					if rapid.Bool().Draw(t, "well") {
						q.Ack(e.ID, now)
						delete(alive, e.ID)
					} else {
						q.Nack(e.ID, now)
					}
					break
				}
			},
			"wait": func(t *rapid.T) { now = now.Add(time.Duration(rapid.IntRange(1, 30).Draw(t, "s")) * time.Second) },
			"": func(t *rapid.T) {
				for _, e := range append(q.Superseded(), q.Dead()...) {
					delete(alive, e.ID)
					q.Forget(e.ID)
				}
				s := q.Stats()
				if s.Running != len(running) {
					t.Fatalf("%d run, the queue says %d", len(running), s.Running)
				}
				if got := s.Ready + s.Waiting + s.Delayed + s.Running; got != len(alive) {
					t.Fatalf("%d are unfinished, the queue holds %d: %+v", len(alive), got, s)
				}
			},
		})
		// Nothing is stuck: with time and good luck all of it ends.
		for range 10 * (len(alive) + 1) {
			for _, e := range running {
				q.Ack(e.ID, now)
				delete(alive, e.ID)
			}
			clear(running)
			now = now.Add(time.Minute)
			for _, e := range append(q.Superseded(), q.Dead()...) {
				delete(alive, e.ID)
				q.Forget(e.ID)
			}
			check(q.Take(100, now))
		}
		if len(alive) > 0 {
			t.Fatalf("%d evaluations never ended: %+v", len(alive), q.Stats())
		}
	})
}
