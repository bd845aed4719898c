// Package monitor follows what a change does: its evaluation, then its
// deployment, until they end. On a terminal the deployment is redrawn in
// place, elsewhere each change is one more block of lines.
//
// It must not know which verb made the change. Begin reading at Monitor.Eval.
package monitor

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

// blockFor bounds one blocking read, so that a lost connection is noticed.
const blockFor = 10 * time.Second

// ExitPlacement is the exit code for work that could not be placed.
const ExitPlacement = 2

// Monitor follows changes with one client.
type Monitor struct {
	Client  *api.Client
	Streams term.Streams
	// Namespace is the job's.
	Namespace string
	// Verbose shows full ids and more lines.
	Verbose bool
	// Wanted is the status of the deployment that was asked for, if not that it
	// succeeds.
	Wanted string
}

func (m *Monitor) title(format string, args ...any) {
	m.Streams.Printf("==> %s: %s\n", m.now(), view.Clean(fmt.Sprintf(format, args...)))
}

func (m *Monitor) detail(format string, args ...any) {
	m.Streams.Printf("    %s: %s\n", m.now(), view.Clean(fmt.Sprintf(format, args...)))
}

func (m *Monitor) now() string { return view.Time(m.Streams.Clock.Now()) }

func (m *Monitor) id(id string) string { return view.ID(id, m.Verbose) }

// Eval follows an evaluation and what comes of it. It returns nil on success,
// else an error that carries the exit code: 1 for a failure, 2 for work that
// could not be placed.
func (m *Monitor) Eval(ctx context.Context, evalID string) error {
	m.title("Monitoring evaluation %q", m.id(evalID))
	f := &follower{Monitor: m, allocs: map[string]string{}}
	eval, err := f.untilDone(ctx, evalID)
	if err != nil {
		return err
	}
	failed := eval.Status == structs.EvalStatusFailed || eval.Status == structs.EvalStatusCancelled
	m.finished(eval)
	if failed {
		return &term.Exit{Code: 1, Text: eval.StatusDescription}
	}
	deployment := f.deployment
	if deployment == "" {
		deployment = eval.DeploymentID
	}
	if deployment != "" {
		return m.Deployment(ctx, deployment)
	}
	if len(eval.FailedTGAllocs) > 0 {
		return &term.Exit{Code: ExitPlacement}
	}
	return nil
}

func (m *Monitor) finished(eval *structs.Evaluation) {
	text := fmt.Sprintf("Evaluation %q finished with status %q", m.id(eval.ID), eval.Status)
	if len(eval.FailedTGAllocs) == 0 {
		m.title("%s", text)
		return
	}
	m.title("%s but failed to place all allocations:", text)
	groups := make([]string, 0, len(eval.FailedTGAllocs))
	for g := range eval.FailedTGAllocs {
		groups = append(groups, g)
	}
	sort.Strings(groups)
	for _, g := range groups {
		metric := eval.FailedTGAllocs[g]
		noun := "allocation"
		if metric.CoalescedFailures > 0 {
			noun += "s"
		}
		m.detail("Task Group %q (failed to place %d %s):", g, metric.CoalescedFailures+1, noun)
		for _, reason := range Reasons(metric) {
			m.Streams.Printf("      * %s\n", view.Clean(reason))
		}
	}
	if eval.BlockedEval != "" {
		m.detail("Evaluation %q waiting for additional capacity to place remainder", m.id(eval.BlockedEval))
	}
}

// follower remembers what was told already.
type follower struct {
	*Monitor
	status     string
	triggered  bool
	deployment string
	allocs     map[string]string // id to client status
}

func (f *follower) untilDone(ctx context.Context, id string) (*structs.Evaluation, error) {
	var index uint64
	for {
		eval, meta, err := f.Client.Evaluation(ctx, id, false, &api.Query{WaitIndex: index, WaitTime: blockFor})
		if err != nil {
			return nil, term.Fail("Error reading evaluation: %v", err)
		}
		index = meta.Index
		f.tellEval(eval)
		if err := f.tellAllocs(ctx, eval); err != nil {
			return nil, err
		}
		switch eval.Status {
		case structs.EvalStatusComplete, structs.EvalStatusFailed, structs.EvalStatusCancelled, structs.EvalStatusBlocked:
			return eval, nil
		}
	}
}

func (f *follower) tellEval(eval *structs.Evaluation) {
	if !f.triggered {
		f.triggered = true
		if eval.NodeID != "" && eval.JobID == "" {
			f.detail("Evaluation triggered by node %q", f.id(eval.NodeID))
		} else {
			f.detail("Evaluation triggered by job %q", eval.JobID)
		}
	}
	if eval.DeploymentID != "" && f.deployment == "" {
		f.deployment = eval.DeploymentID
		f.detail("Evaluation within deployment: %q", f.id(eval.DeploymentID))
	}
	if f.status != "" && f.status != eval.Status {
		f.detail("Evaluation status changed: %q -> %q", f.status, eval.Status)
	}
	f.status = eval.Status
}

// tellAllocs tells of what is new. An allocation that was there before the
// evaluation has been changed by it in place, or is stopped.
func (f *follower) tellAllocs(ctx context.Context, eval *structs.Evaluation) error {
	allocs, _, err := f.Client.EvaluationAllocations(ctx, eval.ID, nil)
	if err != nil {
		return term.Fail("Error reading allocations: %v", err)
	}
	sort.Slice(allocs, func(i, j int) bool { return allocs[i].Name < allocs[j].Name })
	for _, a := range allocs {
		before, known := f.allocs[a.ID]
		f.allocs[a.ID] = a.ClientStatus
		switch {
		case !known && a.DesiredStatus == structs.AllocDesiredRun && a.CreateIndex > eval.CreateIndex:
			f.detail("Allocation %q created: node %q, group %q", f.id(a.ID), f.id(a.NodeID), a.TaskGroup)
		case !known:
			f.detail("Allocation %q modified: node %q, group %q", f.id(a.ID), f.id(a.NodeID), a.TaskGroup)
		case before != a.ClientStatus:
			f.detail("Allocation %q status changed: %q -> %q (%s)", f.id(a.ID), before, a.ClientStatus, a.ClientDescription)
		}
	}
	return nil
}

// Reasons says in sentences why something could not be placed.
func Reasons(m *structs.AllocationMetric) []string {
	if m == nil {
		return nil
	}
	var out []string
	if m.NodesEvaluated == 0 {
		out = append(out, "No node could be considered: check that nodes are ready, eligible and in the job's datacenters and node pool")
	}
	for _, dc := range sortedKeys(m.NodesAvailable) {
		if m.NodesAvailable[dc] == 0 {
			out = append(out, fmt.Sprintf("No nodes are available in datacenter %q", dc))
		}
	}
	for _, c := range sortedKeys(m.ConstraintFiltered) {
		out = append(out, fmt.Sprintf("Constraint %q filters %s", c, nodes(m.ConstraintFiltered[c])))
	}
	for _, c := range sortedKeys(m.ClassFiltered) {
		out = append(out, fmt.Sprintf("Class %q: %s filtered", c, nodes(m.ClassFiltered[c])))
	}
	if m.NodesExhausted > 0 {
		out = append(out, fmt.Sprintf("Resources exhausted on %s", nodes(m.NodesExhausted)))
	}
	for _, d := range sortedKeys(m.DimensionExhausted) {
		out = append(out, fmt.Sprintf("Dimension %q exhausted on %s", d, nodes(m.DimensionExhausted[d])))
	}
	if len(m.QuotaExhausted) > 0 {
		out = append(out, "Quota limit hit: "+strings.Join(m.QuotaExhausted, ", "))
	}
	return out
}

func nodes(n int) string {
	if n == 1 {
		return "1 node"
	}
	return fmt.Sprintf("%d nodes", n)
}

func sortedKeys(m map[string]int) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
