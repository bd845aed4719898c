package story

import (
	"fmt"
	"strings"

	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/alloc"
	"github.com/steppe-run/steppe/structs"
)

// metaKey is the key of a target in a node's metadata.
func metaKey(target string) (string, bool) {
	key, found := strings.CutPrefix(target, "${meta.")
	return strings.TrimSuffix(key, "}"), found
}

// judgeEveryNode compares where jobs of every node run with where they are to.
func (p *Play) judgeEveryNode(s *state.Snapshot) {
	for job := range s.Jobs(structs.AllNamespaces, "") {
		if job.Stopped() || !structs.EveryNode(job.GetType()) || job.IsTemplate() {
			continue
		}
		for _, what := range p.missing(s, job) {
			if !excused(s, job) {
				p.fail(what + ", and nothing is to change that")
			}
		}
	}
}

// missing are the groups of a job of every node that don't run, once, where they
// should.
func (p *Play) missing(s *state.Snapshot, job *structs.Job) []string {
	if job == nil {
		return []string{"there is no such job"}
	}
	var out []string
	for n := range s.Nodes("") {
		for _, g := range job.TaskGroups {
			have, want := on(s, n, job, g), 0
			if n.Ready() && suits(n, g) && g.GetCount() > 0 {
				want = 1
			}
			if have < want || have > 1 {
				out = append(out, fmt.Sprintf("group %s of job %s is %d times on %s", g.GetName(), job.GetID(), have, n.Name))
			}
		}
	}
	return out
}

// on counts the allocations of a group on a node: those that run; of a batch
// also what has ended by itself.
func on(s *state.Snapshot, n *structs.Node, job *structs.Job, g *structs.TaskGroup) int {
	count, done := 0, 0
	for a := range alloc.Outlines(s.AllocViewsByNode(n.ID)) {
		if a.JobNamespacedID() != job.NamespacedID() || a.TaskGroup != g.GetName() || a.Job.GetCreateIndex() != job.GetCreateIndex() {
			continue
		}
		switch {
		case runs(a):
			count++
		case job.GetType() == structs.JobTypeSysBatch && a.DesiredStatus == structs.AllocDesiredRun && a.ClientTerminal() && a.JobVersion() == job.GetVersion():
			done = 1
		}
	}
	return max(count, done)
}
