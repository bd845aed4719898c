package scheduler_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/structs"
)

// TestSlowExpressionsAreJudgedInSlices has a job ask for an expression that is as
// slow as is permitted, of nodes that all have another value: the evaluation
// comes again and again, and between the slices others are decided.
func TestSlowExpressionsAreJudgedInSlices(t *testing.T) {
	const nodes = 400
	p, c := farm(nodes, 0)
	for _, n := range p.nodes {
		n.Meta = map[string]string{"text": strings.Repeat("a", 100) + n.Name}
		c.UpsertNode(n)
	}
	slow := service(1)
	slow.Constraints = []*structs.Constraint{{LTarget: "${meta.text}", Operand: structs.OpRegexp, RTarget: "(.?){60}node-7$"}}
	quick := service(1)
	slices := 0
	for more := true; more; slices++ {
		p.job = slow
		d, err := scheduler.Schedule(input(p, c))
		if err != nil || d.More && !d.Empty() || slices > 2*nodes {
			t.Fatalf("%v, %+v", err, d)
		}
		if more = d.More; !more {
			if rows(d) != 1 || p.nodes[d.Plan.Groups[0].Rows[0].NodeID].Name != "node-7" {
				t.Errorf("placed %+v", d.Plan.Groups)
			}
			break
		}
		p.job = quick
		if d, err = scheduler.Schedule(input(p, c)); err != nil || rows(d) != 1 {
			t.Fatalf("%v, %d placed beside it", err, rows(d))
		}
	}
	if slices < 10 {
		t.Errorf("%d slices", slices)
	}
	in := input(p, c)
	in.Annotate = true
	p.job = slow
	slow.Constraints[0].RTarget = "(.?){61}node-7$"
	if d, err := scheduler.Schedule(in); err != nil || d.More || rows(d) != 1 {
		t.Errorf("a rehearsal: %v %+v", err, d)
	}
}

// BenchmarkMostAskedOfOneNode asks for as many as a job may of a node that holds 80.
func BenchmarkMostAskedOfOneNode(b *testing.B) {
	p, c := farm(1, 0)
	p.job = service(structs.JobMaxCount)
	b.ReportAllocs()
	for b.Loop() {
		d, err := scheduler.Schedule(input(p, c))
		if err != nil || rows(d) != 80 || d.Eval.QueuedAllocations["web"] != structs.JobMaxCount-80 {
			b.Fatal(err, fmt.Sprint(rows(d), d.Eval.QueuedAllocations))
		}
	}
}
