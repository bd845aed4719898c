package job

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/monitor"
	"github.com/steppe-run/steppe/command/past"
	"github.com/steppe-run/steppe/command/resolve"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

// The verbs for jobs that others are made from: dispatches of parameterized
// jobs, launches of periodic ones.

// awaitStep is how long one question waits for a job to be done.
const awaitStep = 10 * time.Second

func dispatchVerb() connect.Verb {
	return connect.Verb{
		Name: "dispatch", Usage: "start an instance of a parameterized job", Args: []string{"<parameterized job>", "[<input file or ->]"},
		Help: "The file is the payload. Exit code 0: scheduled. 1: an error. 2: not everything could be placed.",
		Flags: detachFlags(
			connect.UI(),
			&cli.BoolFlag{Name: "wait", Usage: "until the dispatched job is done"},
			&cli.StringFlag{Name: "idempotency-token", Usage: "dispatch once only for this `token`, however often it is asked for"},
			&cli.StringSliceFlag{Name: "meta", Usage: "`key=value` for the dispatched job; can be repeated"},
			&cli.StringFlag{Name: "id-prefix-template", Usage: "`text` to put into the id of the dispatched job"},
			&cli.IntFlag{Name: "priority", Usage: "`priority` of the dispatched job, from 1 to 100"},
		),
		Do: dispatch,
	}
}

func dispatch(ctx context.Context, c *connect.Call) error {
	stub, q, err := findKind(ctx, c, c.Arg(0), "parameterized", func(j *structs.JobListStub) bool { return j.ParameterizedJob })
	if err != nil {
		return err
	}
	req := &structs.JobDispatchRequest{JobID: stub.ID, IdPrefixTemplate: c.String("id-prefix-template"), Priority: c.Int("priority")}
	if req.Meta, err = metaFlags(c.StringSlice("meta")); err != nil {
		return err
	}
	if req.Payload, err = payload(c, c.Arg(1)); err != nil {
		return err
	}
	resp, err := c.Client.DispatchJob(ctx, req, c.String("idempotency-token"), q)
	if err != nil {
		return term.Fail("Failed to dispatch job: %v", err)
	}
	keys := []view.Pair{{Key: "Dispatched Job ID", Value: resp.DispatchedJobID}}
	if resp.EvalID != "" {
		keys = append(keys, view.Pair{Key: "Evaluation ID", Value: view.ID(resp.EvalID, c.Bool("verbose"))})
	}
	c.Printf("%s", view.Keys(keys))
	if resp.JobCreateIndex < resp.LastIndex {
		c.Printf("The idempotency token stands for this job since it was first given: nothing was dispatched, and payload and metadata are those of then\n")
	}
	if resp.EvalID == "" || c.Bool("detach") {
		return nil
	}
	c.Printf("\n")
	m := &monitor.Monitor{Client: c.Client, Streams: c.Streams, Verbose: c.Bool("verbose")}
	if err := m.Eval(ctx, resp.EvalID); err != nil || !c.Bool("wait") {
		return err
	}
	return awaitDone(ctx, c, resp.DispatchedJobID, q)
}

// metaFlags reads key=value pairs.
func metaFlags(pairs []string) (map[string]string, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	out := map[string]string{}
	for _, p := range pairs {
		k, v, ok := strings.Cut(p, "=")
		if !ok || k == "" {
			return nil, term.Fail("Error parsing meta %q: write key=value", p)
		}
		out[k] = v
	}
	return out, nil
}

// payload reads what the job is dispatched with, a little more at most than it
// may have: the servers say that it is too much.
func payload(c *connect.Call, path string) ([]byte, error) {
	var in io.Reader
	switch path {
	case "":
		return nil, nil
	case "-":
		in = c.In
	default:
		f, err := os.Open(path)
		if err != nil {
			return nil, term.Fail("Error reading input data: %v", err)
		}
		defer func() { _ = f.Close() }() // only read
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, structs.MaxDispatchPayload+1))
	if err != nil {
		return nil, term.Fail("Error reading input data: %v", err)
	}
	if len(data) > structs.MaxDispatchPayload {
		return nil, term.Fail("Failed to dispatch job: the payload is larger than the limit of %d bytes: pass a place to read it from instead", structs.MaxDispatchPayload)
	}
	return data, nil
}

// awaitDone waits until a dispatched job is done. One that isn't there any more
// is.
func awaitDone(ctx context.Context, c *connect.Call, id string, q *api.Query) error {
	for wait := (api.Query{Namespace: q.Namespace}); ; {
		job, meta, err := c.Client.Job(ctx, id, &wait)
		if err != nil {
			return term.Fail("Error querying job: %v", err)
		}
		if structs.Value(job.Status) == structs.JobStatusDead {
			break
		}
		wait.WaitIndex, wait.WaitTime = meta.Index, awaitStep
	}
	summary, _, err := c.Client.JobSummary(ctx, id, q)
	if err != nil {
		return term.Fail("Error querying job summary: %v", err)
	}
	for _, g := range summary.Summary {
		if g.Failed+g.Lost > 0 {
			return term.Fail("Job %q is done, and not all of it succeeded", id)
		}
	}
	c.Printf("Job %q is done\n", id)
	return nil
}

// findKind is find among the jobs of a kind.
func findKind(ctx context.Context, c *connect.Call, prefix, kind string, is func(*structs.JobListStub) bool) (*structs.JobListStub, *api.Query, error) {
	stub, err := past.Live(ctx, c, prefix, resolve.JobOf(kind, is))
	if err != nil {
		return nil, nil, err
	}
	return stub, &api.Query{Namespace: stub.Namespace}, nil
}

func periodicGroup(s term.Streams) *cli.Command {
	return &cli.Command{Name: "periodic", Usage: "act on periodic jobs", Commands: []*cli.Command{forceVerb().Command(s)}}
}

func forceVerb() connect.Verb {
	return connect.Verb{
		Name: "force", Usage: "launch a periodic job right now", Args: []string{"<job>"},
		Help: "It is launched even if an earlier launch is not done and prohibit_overlap is set. The launches of its schedule stay as they are.\n" +
			"Exit code 0: done. 1: an error. 2: not everything could be placed.",
		Flags: detachFlags(),
		Do:    force,
	}
}

func force(ctx context.Context, c *connect.Call) error {
	stub, q, err := findKind(ctx, c, c.Arg(0), "periodic", func(j *structs.JobListStub) bool { return j.Periodic })
	if err != nil {
		return err
	}
	resp, err := c.Client.ForcePeriodic(ctx, stub.ID, q)
	if err != nil {
		return term.Fail("Error forcing periodic job %q: %v", stub.ID, err)
	}
	if c.Bool("detach") {
		c.Printf("Force periodic successful\n")
	}
	return follow(ctx, c, resp.EvalID)
}

// nextLaunch is when a periodic job is launched next, for people; empty if it
// isn't.
func nextLaunch(j *structs.Job, now time.Time) string {
	if !j.IsPeriodicActive() {
		return ""
	}
	at := j.Periodic.Next(now)
	if at.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s (%s from now)", view.Time(at), view.Duration(at.Sub(now)))
}

// showChildren shows what a job that isn't run itself has made.
func showChildren(ctx context.Context, c *connect.Call, j *structs.Job, q *api.Query) error {
	id, bold := j.GetID(), c.Colour()
	summary, _, err := c.Client.JobSummary(ctx, id, q)
	if err != nil {
		return term.Fail("Error querying job summary: %v", err)
	}
	title, list := "Children Job Summary", "Previously Launched Jobs"
	if p := j.ParameterizedJob; p != nil {
		title, list = "Parameterized Job Summary", "Dispatched Jobs"
		c.Printf("%s", view.Section("Parameterized Job", view.Keys([]view.Pair{
			{Key: "Payload", Value: p.Payload}, {Key: "Required Metadata", Value: keyList(p.MetaRequired)}, {Key: "Optional Metadata", Value: keyList(p.MetaOptional)},
		}), bold))
	}
	counts := structs.JobChildrenSummary{}
	if summary.Children != nil {
		counts = *summary.Children
	}
	c.Printf("%s", view.Section(title, view.Table([]string{"Pending", "Running", "Dead"}, [][]string{{
		strconv.FormatInt(counts.Pending, 10), strconv.FormatInt(counts.Running, 10), strconv.FormatInt(counts.Dead, 10),
	}}), bold))
	if text := structs.Value(j.StatusDescription); text != "" {
		c.Printf("%s", view.Section("Last Notice", view.Clean(text)+"\n", bold))
	}
	under := api.Query{Namespace: q.Namespace, Prefix: id + "/"}
	jobs, _, err := c.Client.Jobs(ctx, &under)
	if err != nil {
		return term.Fail("Error querying child jobs: %v", err)
	}
	var rows [][]string
	for _, child := range jobs {
		if child.ParentID == id {
			rows = append(rows, []string{view.Clean(child.ID), monitor.JobStatus(child.Status, child.Stop)})
		}
	}
	text := "No instances of " + map[bool]string{true: "parameterized", false: "periodic"}[j.ParameterizedJob != nil] + " job found\n"
	if len(rows) > 0 {
		text = view.Table([]string{"ID", "Status"}, rows)
	}
	c.Printf("%s", view.Section(list, text, bold))
	return nil
}

func keyList(keys []string) string {
	if len(keys) == 0 {
		return "<none>"
	}
	return view.Clean(strings.Join(keys, ", "))
}
