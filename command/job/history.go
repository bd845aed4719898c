package job

import (
	"context"
	"strconv"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

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
	against, err := diffTarget(ctx, c, stub)
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
func diffTarget(ctx context.Context, c *connect.Call, stub *structs.JobListStub) (*uint64, error) {
	version, tag := c.String("diff-version"), c.String("diff-tag")
	switch {
	case version == "" && tag == "":
		return nil, nil
	case version != "" && tag != "":
		return nil, term.Fail("Both -diff-version and -diff-tag were given: choose one")
	case !c.Bool("p"):
		return nil, term.Fail("-diff-version and -diff-tag say what to compare with: add -p")
	case tag != "":
		n, err := versionOf(ctx, c, stub, tag)
		return &n, err
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
