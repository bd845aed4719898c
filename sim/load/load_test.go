package load

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/steppe-run/steppe/structs"
)

func options() Options {
	return Options{Nodes: 8, Jobs: 2, Count: 10, Connections: 4, Type: structs.JobTypeService, CPU: 100, MemoryMB: 128, Timeout: time.Minute}
}

func TestOptionsThatMakeNoSenseAreNamed(t *testing.T) {
	for flag, change := range map[string]func(*Options){
		"-nodes":       func(o *Options) { o.Nodes = 0 },
		"-jobs":        func(o *Options) { o.Jobs = -1 },
		"-count":       func(o *Options) { o.Count = 0 },
		"-connections": func(o *Options) { o.Connections = 0 },
		"-cpu":         func(o *Options) { o.CPU = 0 },
		"-memory":      func(o *Options) { o.MemoryMB = 0 },
		"-ports":       func(o *Options) { o.Ports = -1 },
		"-timeout":     func(o *Options) { o.Timeout = 0 },
		"-type":        func(o *Options) { o.Type = structs.JobTypeSystem },
		"-algorithm":   func(o *Options) { o.Algorithm = "random" },
	} {
		o := options()
		change(&o)
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s: %v", flag, err)
		}
	}
	o := options()
	if err := o.Check(); err != nil {
		t.Error(err)
	}
}

func TestJobsAreValid(t *testing.T) {
	for _, kind := range []string{structs.JobTypeService, structs.JobTypeBatch} {
		o := options()
		o.Type, o.Spread, o.Ports = kind, true, 2
		j := o.job(waveMain, "main-3", time.Unix(5, 0))
		j.Canonicalize()
		if err := j.Validate(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		a := &structs.Allocation{Job: j}
		if at, ok := submitted(a); !ok || !at.Equal(time.Unix(5, 0)) || waveOf(a) != waveMain {
			t.Errorf("%s: submitted %v, wave %q", kind, at, waveOf(a))
		}
	}
}

// TestAFormIsTheJob: what is sent for a job is what a client would send for it.
func TestAFormIsTheJob(t *testing.T) {
	o, sent := options(), time.Unix(1_800_000_000, 5)
	o.Ports = 1
	form, err := newForm(&o, waveMain)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		id := jobID(waveMain, i)
		want, err := json.Marshal(&structs.JobRegisterRequest{Job: o.job(waveMain, id, sent)})
		if got := form.job(id, sent); err != nil || string(got) != string(want) {
			t.Errorf("%v\n%s\n%s", err, got, want)
		}
	}
}

func TestLowerBoundTakesTheLargestNodesFirst(t *testing.T) {
	for _, c := range []struct {
		what        string
		cpu, memory int
		equal       bool
		n, want     int
	}{
		{"one fits anywhere", 1, 1, false, 1, 1},
		{"processor binds: the largest nodes hold 320 each", 100, 1, false, 641, 3},
		{"memory binds: two nodes hold 256 each, then two 128", 1, 1024, false, 513, 3},
		{"equal nodes hold 160 each", 100, 1, true, 161, 2},
		{"more than there is needs all", 4000, 1, false, 1000, 8},
	} {
		o := options()
		o.CPU, o.MemoryMB, o.Equal = c.cpu, c.memory, c.equal
		if got := lowerBound(&o, c.n); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
}

func TestQuantiles(t *testing.T) {
	var sorted []time.Duration
	for i := 1; i <= 200; i++ {
		sorted = append(sorted, time.Duration(i))
	}
	for percent, want := range map[int]time.Duration{50: 100, 99: 198, 100: 200, 0: 1} {
		if got := quantile(sorted, percent); got != want {
			t.Errorf("p%d is %d, want %d", percent, got, want)
		}
	}
}
