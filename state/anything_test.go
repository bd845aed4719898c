package state

import (
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// anything fills values with what no sane caller sends: missing parts, huge
// and negative numbers, names that belong to something else.
type anything struct {
	*rand.Rand
	names []string
}

func (a *anything) fill(v reflect.Value, depth int) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		if a.IntN(2) == 0 {
			v.Set(reflect.ValueOf(time.Unix(a.Int64N(1<<40)-1<<39, 0).UTC()))
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if a.IntN(4) > 0 && depth < 12 {
			v.Set(reflect.New(v.Type().Elem()))
			a.fill(v.Elem(), depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				a.fill(v.Field(i), depth+1)
			}
		}
	case reflect.Slice:
		if n := a.IntN(4); n > 0 && depth < 12 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				a.fill(v.Index(i), depth+1)
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			if a.IntN(8) == 0 {
				a.fill(v.Index(i), depth+1)
			}
		}
	case reflect.Map:
		if n := a.IntN(3); n > 0 && depth < 12 {
			v.Set(reflect.MakeMap(v.Type()))
			for range n {
				key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
				a.fill(key, depth+1)
				a.fill(value, depth+1)
				v.SetMapIndex(key, value)
			}
		}
	case reflect.Interface:
		if a.IntN(2) == 0 {
			v.Set(reflect.ValueOf([]any{"x", map[string]any{"k": 1.5}}))
		}
	case reflect.String:
		v.SetString(a.names[a.IntN(len(a.names))])
	case reflect.Bool:
		v.SetBool(a.IntN(2) == 0)
	case reflect.Float64:
		v.SetFloat([]float64{0, 1.5, math.Inf(1), -1}[a.IntN(4)])
	default:
		n := []int64{0, 1, 2, -1, 500, 1 << 20, math.MaxInt64, math.MinInt64}[a.IntN(8)]
		if v.CanInt() {
			v.SetInt(n)
		} else {
			v.SetUint(uint64(n))
		}
	}
}

func commands() []command.Command {
	return []command.Command{
		&command.RegisterJob{}, &command.DeregisterJob{}, &command.MarkJobStable{}, &command.TagJobVersion{}, &command.UpsertEvals{},
		&command.ApplyPlans{}, &command.ApplyPlans{}, &command.ApplyPlans{}, &command.RegisterNode{}, &command.SetNodeStatus{},
		&command.SetNodeEligibility{}, &command.SetNodeDrain{}, &command.DeleteNodes{}, &command.UpdateAllocs{}, &command.TransitionAllocs{},
		&command.UpdateDeployment{}, &command.PromoteDeployment{}, &command.SetAllocHealth{}, &command.UpsertServices{},
		&command.DeleteServices{}, &command.Sweep{}, &command.SetSchedulerConfig{}, &command.UpsertNodePools{}, &command.DeleteNodePools{},
		&command.UpsertNamespaces{}, &command.DeleteNamespaces{},
		&command.DispatchJob{}, &command.LaunchJobs{},
	}
}

func TestAnythingThatDecodesIsAppliedOrRefused(t *testing.T) {
	rounds := 4000
	if testing.Short() {
		rounds = 400
	}
	w := sample(t)
	names := []string{"", "default", "web", "cron", "cron/periodic-1", "main", "http", "all", "gpu", "running", "failed", "pending", "ready",
		"down", "eligible", "stop", "complete", "successful", "lost", "x", ids.Derive(ids.Seed{1}, 1)}
	for a := range w.snap().Allocs("*", "") {
		names = append(names, a.ID, a.NodeID, a.DeploymentID, a.EvalID)
	}
	for e := range w.snap().Evals("*", "") {
		names = append(names, e.ID)
	}
	base, applied := w.snap(), 0
	tx := base.t
	for n := range rounds {
		if n%50 == 0 {
			tx = base.t // begin again, or everything is soon purged
		}
		a := &anything{rand.New(rand.NewPCG(uint64(n), 1)), names}
		all := commands()
		c := all[a.IntN(len(all))]
		a.fill(reflect.ValueOf(c).Elem(), 0)
		data, err := command.Encode(c)
		if err != nil {
			continue // a plan is missing in a list
		}
		decoded, err := command.Decode(data)
		if err != nil {
			t.Fatalf("round %d: %T was encoded and can't be decoded: %v", n, c, err)
		}
		next := begin(tx, tx.Index+1)
		_, err = next.perform(decoded)
		var panicked *PanicError
		switch {
		case errors.As(err, &panicked):
			t.Fatalf("round %d: %T: %v", n, c, panicked)
		case err == nil:
			applied++
			tx = &next.Tables
			sane(t, n, &Snapshot{tx})
		}
	}
	if applied < rounds/4 {
		t.Errorf("only %d of %d commands were applied", applied, rounds)
	}
}

// sane checks what must hold whatever was applied.
func sane(t *testing.T, round int, s *Snapshot) {
	t.Helper()
	for n := range s.Nodes("") {
		used := s.NodeUsage(n.ID)
		if used.CPU < 0 || used.MemoryMB < 0 || used.DiskMB < 0 {
			t.Fatalf("round %d: node %q has negative usage %+v", round, n.ID, used)
		}
	}
	if round%20 != 0 {
		return
	}
	other, err := restored(s)
	if err != nil {
		t.Fatalf("round %d: %v", round, err)
	}
	if other.Snapshot().StateHash() != s.StateHash() {
		t.Fatalf("round %d: the state that was restored is another one", round)
	}
	for a := range s.Allocs(structs.AllNamespaces, "") {
		if a.Job == nil || a.NodeID == "" {
			t.Fatalf("round %d: allocation %s has no job or no node", round, a.ID)
		}
	}
}
