package job

import (
	"context"
	"fmt"
	"strconv"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/past"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

// The verbs for versions of a job: look at them, return to one, name one.

func historyVerb() connect.Verb {
	return connect.Verb{
		Name: "history", Usage: "show a job's versions", Args: []string{"<job>"},
		Flags: append(view.FormatFlags(),
			&cli.BoolFlag{Name: "p", Usage: "also what each version changed"},
			&cli.BoolFlag{Name: "full", Usage: "also each whole job"},
			&cli.StringFlag{Name: "version", Usage: "only this `version`"},
			&cli.StringFlag{Name: "diff-version", Usage: "with -p: compare each with this `version`"},
			&cli.StringFlag{Name: "diff-tag", Usage: "with -p: compare each with the version that has this `tag`"},
		),
		Do: history,
	}
}

func history(ctx context.Context, c *connect.Call) error {
	at, err := seek(ctx, c, c.Arg(0))
	if err != nil {
		return err
	}
	versions, err := at.versions(ctx, c)
	if err != nil {
		return err
	}
	diffs, err := changes(c, versions)
	if err != nil {
		return err
	}
	if only := c.String("version"); only != "" {
		versions, diffs, err = pick(versions, diffs, only)
		if err != nil {
			return err
		}
	}
	if at.gone != nil {
		past.Say(c, at.gone)
	}
	if done, err := view.Formatted(c.Command, c.Streams, versions); done {
		return err
	}
	for i, j := range versions {
		if i > 0 {
			c.Printf("\n")
		}
		if err := showVersion(c, j, nth(diffs, i)); err != nil {
			return err
		}
	}
	return nil
}

// versions are those that are kept of a job, newest first.
func (s *sought) versions(ctx context.Context, c *connect.Call) ([]*structs.Job, error) {
	if s.gone != nil {
		return pastVersions(ctx, c, s.gone)
	}
	return versionsOf(ctx, c, s.stub, s.q)
}

// changes tells what each version changed, if asked: since one that all are
// compared with, or since the one before it.
func changes(c *connect.Call, versions []*structs.Job) ([]*structs.JobDiff, error) {
	target, err := diffTarget(c, versions)
	if err != nil || !c.Bool("p") {
		return nil, err
	}
	out := make([]*structs.JobDiff, len(versions))
	for i, j := range versions {
		since := target
		if since == nil && i+1 < len(versions) {
			since = versions[i+1]
		}
		if since != nil {
			out[i] = since.Diff(j, false)
		}
	}
	return out, nil
}

// diffTarget is the version that all others are compared with; nil: each with
// the one before it.
func diffTarget(c *connect.Call, versions []*structs.Job) (*structs.Job, error) {
	version, tag := c.String("diff-version"), c.String("diff-tag")
	switch {
	case version == "" && tag == "":
		return nil, nil
	case version != "" && tag != "":
		return nil, term.Fail("Both -diff-version and -diff-tag were given: choose one")
	case !c.Bool("p"):
		return nil, term.Fail("-diff-version and -diff-tag say what to compare with: add -p")
	case tag != "":
		if j := tagged(versions, tag); j != nil {
			return j, nil
		}
		return nil, noTag(versions, tag)
	}
	n, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		return nil, term.Fail("Error parsing version value %q: it is not a number", version)
	}
	if j := numbered(versions, n); j != nil {
		return j, nil
	}
	return nil, term.Fail("Error retrieving job versions: version %d is not kept any more", n)
}

func pick(versions []*structs.Job, diffs []*structs.JobDiff, text string) ([]*structs.Job, []*structs.JobDiff, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return nil, nil, term.Fail("Error parsing version value %q: it is not a number", text)
	}
	for i, j := range versions {
		if structs.Value(j.Version) == n {
			return versions[i : i+1], []*structs.JobDiff{nth(diffs, i)}, nil
		}
	}
	return nil, nil, term.Fail("Error printing job history for non-existing job or job version")
}

func nth(diffs []*structs.JobDiff, i int) *structs.JobDiff {
	if i < len(diffs) {
		return diffs[i]
	}
	return nil
}

func showVersion(c *connect.Call, j *structs.Job, diff *structs.JobDiff) error {
	pairs := []view.Pair{
		{Key: "Version", Value: strconv.FormatUint(structs.Value(j.Version), 10)},
		{Key: "Stable", Value: view.Bool(structs.Value(j.Stable))},
		{Key: "Submit Date", Value: view.Nanos(structs.Value(j.SubmitTime))},
	}
	if j.VersionTag != nil {
		pairs = append(pairs, view.Pair{Key: "Tag Name", Value: j.VersionTag.Name}, view.Pair{Key: "Tag Description", Value: j.VersionTag.Description})
	}
	c.Printf("%s", view.Keys(pairs))
	if diff != nil {
		c.Printf("Diff        =\n%s", Diff(diff, c.Colour(), false))
	}
	if c.Bool("full") {
		c.Printf("Full        = JSON Job:\n")
		return view.JSON(c.Out, j)
	}
	return nil
}

func revertVerb() connect.Verb {
	return connect.Verb{
		Name: "revert", Usage: "return to an earlier version", Args: []string{"<job>", "<version or tag>"},
		Help: "A number means the version of that number; if it isn't kept, the version that has the number as its tag.\n" +
			"Exit code 0: done. 1: an error, or the deployment failed. 2: not everything could be placed.",
		Flags: detachFlags(),
		Do: func(ctx context.Context, c *connect.Call) error {
			at, err := seek(ctx, c, c.Arg(0))
			if err != nil {
				return err
			}
			if at.gone != nil {
				return notRevertible(ctx, c, at.gone, c.Arg(1))
			}
			stub, q := at.stub, at.q
			version, err := versionOf(ctx, c, stub, q, c.Arg(1))
			if err != nil {
				return err
			}
			resp, err := c.Client.RevertJob(ctx, &structs.JobRevertRequest{JobID: stub.ID, JobVersion: version}, q)
			if err != nil {
				return term.Fail("Error retrieving job versions: %v", err)
			}
			return follow(ctx, c, resp.EvalID)
		},
	}
}

// versionOf is the version that a person means by a number or a tag. A version
// that isn't kept is for the servers to refuse.
func versionOf(ctx context.Context, c *connect.Call, stub *structs.JobListStub, q *api.Query, text string) (uint64, error) {
	versions, err := versionsOf(ctx, c, stub, q)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(text, 10, 64)
	switch j := meant(versions, text); {
	case j != nil:
		return structs.Value(j.Version), nil
	case err == nil:
		return n, nil
	}
	return 0, noTag(versions, text)
}

// meant is the version with a number or, if there is none, with a tag; nil if
// neither is there.
func meant(versions []*structs.Job, text string) *structs.Job {
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		if j := numbered(versions, n); j != nil {
			return j
		}
	}
	return tagged(versions, text)
}

// notRevertible says what to do instead of reverting a job that is gone: it has
// no versions any more, but the history may have the one that is wanted.
func notRevertible(ctx context.Context, c *connect.Call, e *structs.HistoryEntry, text string) error {
	versions, err := pastVersions(ctx, c, e)
	if err != nil {
		return err
	}
	left := fmt.Sprintf("Error retrieving job versions: job %q was purged or swept at %s, what is gone can't be reverted.", e.JobID, past.When(e))
	if j := meant(versions, text); j != nil {
		return term.Fail("%s\nSubmit it anew: steppe job run FILE. The history still has version %d:\n"+
			"  steppe job inspect -version %[2]d %s > job.json\n  steppe job run -json job.json", left, structs.Value(j.Version), e.JobID)
	}
	return term.Fail("%s\nSubmit it anew: steppe job run FILE. The history has no version %q of it: see steppe job history %s", left, text, e.JobID)
}

func versionsOf(ctx context.Context, c *connect.Call, stub *structs.JobListStub, q *api.Query) ([]*structs.Job, error) {
	resp, _, err := c.Client.JobVersions(ctx, stub.ID, false, q)
	if err != nil {
		return nil, term.Fail("Error retrieving job versions: %v", err)
	}
	return resp.Versions, nil
}

func numbered(versions []*structs.Job, n uint64) *structs.Job {
	for _, j := range versions {
		if structs.Value(j.Version) == n {
			return j
		}
	}
	return nil
}

func tagged(versions []*structs.Job, tag string) *structs.Job {
	for _, j := range versions {
		if j.VersionTag != nil && j.VersionTag.Name == tag {
			return j
		}
	}
	return nil
}

func noTag(versions []*structs.Job, tag string) error {
	var id string
	if len(versions) > 0 {
		id = structs.Value(versions[0].ID)
	}
	return term.Fail("Error retrieving job versions: no version of job %q has the tag %q", id, tag)
}

func tagGroup(s term.Streams) *cli.Command {
	return &cli.Command{
		Name: "tag", Usage: "name versions of a job, so that they are kept",
		Commands: []*cli.Command{tagApplyVerb().Command(s), tagUnsetVerb().Command(s)},
	}
}

func tagApplyVerb() connect.Verb {
	return connect.Verb{
		Name: "apply", Usage: "name a version of a job", Args: []string{"<job>"},
		Help: "A version that has a name is kept, however many follow and also when the job is stopped and garbage is collected; 'job revert' and\n" +
			"'job history -diff-tag' take the name. A version has one name, a name one version; to say it again changes the description.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "name", Usage: "the `name`"},
			&cli.StringFlag{Name: "description", Usage: "`text` of 1000 characters at most"},
			&cli.StringFlag{Name: "version", Usage: "this `version` (default the latest)"},
		},
		Do: applyTag,
	}
}

func applyTag(ctx context.Context, c *connect.Call) error {
	name := c.String("name")
	if name == "" {
		return term.Fail("Error tagging job version: a tag needs a name: give it with -name")
	}
	stub, q, err := find(ctx, c, c.Arg(0))
	if err != nil {
		return err
	}
	versions, err := versionsOf(ctx, c, stub, q)
	if err != nil {
		return err
	}
	req := &structs.TagVersionRequest{Description: c.String("description")}
	if text := c.String("version"); text != "" {
		if req.Version, err = strconv.ParseUint(text, 10, 64); err != nil {
			return term.Fail("Error parsing version value %q: it is not a number", text)
		}
	} else if len(versions) > 0 {
		req.Version = structs.Value(versions[0].Version) // the one that is told, whatever is registered meanwhile
	}
	if err := c.Client.TagJobVersion(ctx, stub.ID, name, req, q); err != nil {
		return term.Fail("Error tagging job version: %v", err)
	}
	c.Printf("Job version %d tagged with name %q\n", req.Version, name)
	if was := numbered(versions, req.Version); was != nil && was.VersionTag != nil && was.VersionTag.Name != name {
		c.Errorf("It was tagged %q before: that name is gone, a version has one.\n", was.VersionTag.Name)
	}
	return nil
}

func tagUnsetVerb() connect.Verb {
	return connect.Verb{
		Name: "unset", Usage: "take the name of a version away", Args: []string{"<job>"},
		Flags: []cli.Flag{&cli.StringFlag{Name: "name", Usage: "the `name`"}},
		Do:    unsetTag,
	}
}

func unsetTag(ctx context.Context, c *connect.Call) error {
	name := c.String("name")
	if name == "" {
		return term.Fail("Error removing tag: say which one with -name")
	}
	stub, q, err := find(ctx, c, c.Arg(0))
	if err != nil {
		return err
	}
	if err := c.Client.UntagJobVersion(ctx, stub.ID, name, q); err != nil {
		return term.Fail("Error removing tag: %v", err)
	}
	c.Printf("Tag %q removed from job %q\n", name, stub.ID)
	return nil
}
