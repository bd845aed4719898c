package httpapi

import (
	"net/http"

	"github.com/steppe-run/steppe/structs"
)

// jobVersions lists the versions that are kept of a job, newest first, with
// what changed between them if asked.
func jobVersions(c *call, v View) (reply, error) {
	versions := v.JobVersions(c.namespace, c.param("job_id"))
	if len(versions) == 0 {
		return reply{}, structs.ErrJobVersionsNotFound
	}
	diffs, err := c.flag("diffs")
	if err != nil {
		return reply{}, err
	}
	against, given, err := c.number("diff_version")
	if err != nil {
		return reply{}, err
	}
	var target *structs.Job
	if tag := c.query.Get("diff_tag"); tag != "" {
		if target = v.JobVersionByTag(c.namespace, c.param("job_id"), tag); target == nil {
			return reply{}, refuse(http.StatusNotFound, "no version of the job is tagged %q", tag)
		}
	} else if given {
		if target = v.JobVersion(c.namespace, c.param("job_id"), against); target == nil {
			return reply{}, refuse(http.StatusNotFound, "version %d of the job is not kept", against)
		}
	}
	out := &structs.JobVersionsResponse{Versions: versions}
	if diffs {
		out.Diffs = versionDiffs(versions, target)
	}
	index := c.indexOf(v)
	out.QueryMeta = c.queryMeta(index)
	return reply{value: out, index: index}, nil
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
