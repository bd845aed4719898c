package job

import (
	"context"
	"strconv"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
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
	stub, q, err := find(ctx, c, c.Arg(0))
	if err != nil {
		return err
	}
	against, err := diffTarget(ctx, c, stub, q)
	if err != nil {
		return err
	}
	resp, _, err := c.Client.JobVersions(ctx, stub.ID, c.Bool("p"), q)
	if err != nil {
		return term.Fail("Error retrieving job versions: %v", err)
	}
	versions, diffs := resp.Versions, resp.Diffs
	if against != nil {
		diffs, err = diffsTo(versions, *against)
		if err != nil {
			return err
		}
	}
	if only := c.String("version"); only != "" {
		versions, diffs, err = pick(versions, diffs, only)
		if err != nil {
			return err
		}
	}
	if done, err := view.Formatted(c.Command, c.Streams, versions); done {
		return err
	}
	for i, j := range versions {
		if i > 0 {
			c.Printf("\n")
		}
		if err := showVersion(c, j, at(diffs, i)); err != nil {
			return err
		}
	}
	return nil
}

// diffTarget is the version that all others are compared with; nil: each with
// the one before it.
func diffTarget(ctx context.Context, c *connect.Call, stub *structs.JobListStub, q *api.Query) (*uint64, error) {
	version, tag := c.String("diff-version"), c.String("diff-tag")
	switch {
	case version == "" && tag == "":
		return nil, nil
	case version != "" && tag != "":
		return nil, term.Fail("Both -diff-version and -diff-tag were given: choose one")
	case !c.Bool("p"):
		return nil, term.Fail("-diff-version and -diff-tag say what to compare with: add -p")
	case tag != "":
		versions, err := versionsOf(ctx, c, stub, q)
		if err != nil {
			return nil, err
		}
		j := tagged(versions, tag)
		if j == nil {
			return nil, noTag(stub, tag)
		}
		return j.Version, nil
	}
	n, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		return nil, term.Fail("Error parsing version value %q: it is not a number", version)
	}
	return &n, nil
}

// diffsTo tells for each version what changed since one of them.
func diffsTo(versions []*structs.Job, target uint64) ([]*structs.JobDiff, error) {
	for _, j := range versions {
		if structs.Value(j.Version) != target {
			continue
		}
		diffs := make([]*structs.JobDiff, len(versions))
		for i, v := range versions {
			diffs[i] = j.Diff(v, false)
		}
		return diffs, nil
	}
	return nil, term.Fail("Error retrieving job versions: version %d is not kept any more", target)
}

func pick(versions []*structs.Job, diffs []*structs.JobDiff, text string) ([]*structs.Job, []*structs.JobDiff, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return nil, nil, term.Fail("Error parsing version value %q: it is not a number", text)
	}
	for i, j := range versions {
		if structs.Value(j.Version) == n {
			return versions[i : i+1], []*structs.JobDiff{at(diffs, i)}, nil
		}
	}
	return nil, nil, term.Fail("Error printing job history for non-existing job or job version")
}

func at(diffs []*structs.JobDiff, i int) *structs.JobDiff {
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
			stub, q, err := find(ctx, c, c.Arg(0))
			if err != nil {
				return err
			}
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
	number := err == nil
	if number && numbered(versions, n) != nil {
		return n, nil
	}
	j := tagged(versions, text)
	switch {
	case j != nil:
		return structs.Value(j.Version), nil
	case number:
		return n, nil
	}
	return 0, noTag(stub, text)
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

func noTag(stub *structs.JobListStub, tag string) error {
	return term.Fail("Error retrieving job versions: no version of job %q has the tag %q", stub.ID, tag)
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
