package work

import (
	"net/http"

	"github.com/steppe-run/steppe/httpapi/backend"
	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/structs"
)

// JobVersions lists the versions that are kept of a job, newest first, with
// what changed between them if asked.
func JobVersions(c *door.Call, v backend.View) (door.Reply, error) {
	versions := v.JobVersions(c.Namespace, c.Param("job_id"))
	if len(versions) == 0 {
		return door.Reply{}, structs.ErrJobVersionsNotFound
	}
	diffs, err := c.Flag("diffs")
	if err != nil {
		return door.Reply{}, err
	}
	against, given, err := c.Number("diff_version")
	if err != nil {
		return door.Reply{}, err
	}
	var target *structs.Job
	if tag := c.Query.Get("diff_tag"); tag != "" {
		if target = v.JobVersionByTag(c.Namespace, c.Param("job_id"), tag); target == nil {
			return door.Reply{}, door.Refuse(http.StatusNotFound, "no version of the job is tagged %q", tag)
		}
	} else if given {
		if target = v.JobVersion(c.Namespace, c.Param("job_id"), against); target == nil {
			return door.Reply{}, door.Refuse(http.StatusNotFound, "version %d of the job is not kept", against)
		}
	}
	out := &structs.JobVersionsResponse{Versions: versions}
	if diffs {
		out.Diffs = versionDiffs(versions, target)
	}
	index := c.IndexOf(v)
	out.QueryMeta = c.QueryMeta(index)
	return door.Reply{Value: out, Index: index}, nil
}

// versionDiffs tells what changed from the target to each version, or without
// one from each version to the next; the oldest then has no diff.
func versionDiffs(versions []*structs.Job, target *structs.Job) []*structs.JobDiff {
	diffs := []*structs.JobDiff{}
	for i, version := range versions {
		switch {
		case target != nil:
			diffs = append(diffs, target.Diff(version, false))
		case i+1 < len(versions):
			diffs = append(diffs, versions[i+1].Diff(version, false))
		}
	}
	return diffs
}
