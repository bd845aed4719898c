package scheduler_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/structs"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the expected plans of the text worlds")

// TestWorlds runs every text world: a file of blocks, each a few commands that
// draw or change a small cluster, a line of dashes, and what they answer. See
// testdata/README.md for the commands.
func TestWorlds(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no worlds: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runWorld(t, file) })
	}
}

func runWorld(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	var got bytes.Buffer
	for i, block := range strings.Split(strings.TrimRight(string(text), "\n"), "\n\n") {
		if i > 0 {
			got.WriteString("\n")
		}
		commands, want, judged := strings.Cut(block+"\n", "----\n")
		got.WriteString(commands)
		w.out.Reset()
		w.commands(commands)
		if judged || w.out.Len() > 0 {
			got.WriteString("----\n")
		}
		got.Write(w.out.Bytes())
		if !*rewrite && w.out.String() != want {
			t.Errorf("%s: after\n%s\nwant\n%s\ngot\n%s", file, commands, want, w.out.String())
		}
	}
	if *rewrite {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// world is a cluster small enough to read.
type world struct {
	t        *testing.T
	out      bytes.Buffer
	now      time.Time
	index    uint64
	ids      map[string]int
	capacity *scheduler.Capacity
	config   structs.SchedulerConfiguration
	nodes    map[string]*structs.Node
	jobs     map[string]*structs.Job
	texts    map[string]string // how each job was written, to see whether it changed
	allocs   []*structs.Allocation
	evals    map[string]*structs.Evaluation
	deploys  []*structs.Deployment
	last     *structs.Evaluation // the latest follow-up
}

func newWorld(t *testing.T) *world {
	return &world{
		t: t, config: *structs.DefaultSchedulerConfiguration(), now: time.Unix(1_700_000_000, 0).UTC(), ids: map[string]int{},
		capacity: scheduler.NewCapacity(),
		nodes:    map[string]*structs.Node{}, jobs: map[string]*structs.Job{}, texts: map[string]string{},
		evals: map[string]*structs.Evaluation{},
	}
}

// commands runs the commands of a block; indented lines continue a job.
func (w *world) commands(text string) {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		more := []string{}
		for i+1 < len(lines) && strings.HasPrefix(lines[i+1], "  ") {
			i++
			more = append(more, strings.TrimSpace(lines[i]))
		}
		w.command(strings.Fields(line), more)
	}
}

func (w *world) command(words, more []string) {
	verb, args := words[0], words[1:]
	switch verb {
	case "node":
		for _, name := range expand(args[0]) {
			w.addNode(name, args[1:])
		}
	case "up", "down", "disconnect", "ineligible", "eligible", "drain", "undrain":
		for _, name := range expand(args[0]) {
			w.changeNode(name, verb)
		}
	case "remove":
		delete(w.nodes, args[0])
		w.capacity.RemoveNode(args[0])
	case "config":
		switch args[0] {
		case "preempt":
			w.config.PreemptionConfig = structs.PreemptionConfig{
				ServiceSchedulerEnabled: true, BatchSchedulerEnabled: true, SystemSchedulerEnabled: true, SysBatchSchedulerEnabled: true,
			}
		default:
			w.config.SchedulerAlgorithm = args[0]
		}
	case "job":
		w.addJob(args[0], args[1:], more)
	case "stop":
		w.stopJob(args[0])
	case "purge":
		delete(w.jobs, args[0])
	case "clock":
		d, err := time.ParseDuration(args[0])
		if err != nil {
			w.t.Fatal(err)
		}
		w.now = w.now.Add(d)
	case "set":
		for _, name := range expand(args[0]) {
			w.setAlloc(name, args[1])
		}
	case "promote", "pause", "resume", "fail", "succeed":
		w.changeDeployment(args[0], verb)
	case "eval":
		w.eval(args, false)
	case "plan":
		w.eval(args, true)
	case "allocs":
		w.printAllocs(args[0])
	default:
		w.t.Fatalf("unknown command %q", verb)
	}
}

// id makes ids that people can tell apart: d1, e1, e2...
func (w *world) id(kind string) string {
	w.ids[kind]++
	return kind + itoa(w.ids[kind])
}
