package structs

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// MaxDispatchPayload is how many bytes the payload of a dispatch may have.
const MaxDispatchPayload = 16 << 10

// maxIDPrefix is how long the prefix of a dispatch's ID may be.
const maxIDPrefix = 128

// JobDispatch is a dispatch of a parameterized job, with the token that makes
// it happen once however often it is asked for.
type JobDispatch struct {
	JobDispatchRequest
	IdempotencyToken string
	WriteRequest
}

// PeriodicForceRequest asks for a launch of a periodic job now.
type PeriodicForceRequest struct {
	JobID string
	WriteRequest
}

// PeriodicForceResponse answers a PeriodicForceRequest.
type PeriodicForceResponse struct {
	EvalID          string
	EvalCreateIndex uint64
	WriteMeta
}

// LaunchID is the ID of the job that a periodic job launches at an instant.
func (j *Job) LaunchID(at time.Time) string {
	return fmt.Sprintf("%s/periodic-%d", j.GetID(), at.Unix())
}

// DispatchID is the ID of a job dispatched from this one; unique tells those of
// one second apart.
func (j *Job) DispatchID(prefix string, at time.Time, unique string) string {
	if prefix != "" {
		prefix += "-"
	}
	return fmt.Sprintf("%s/dispatch-%s%d-%s", j.GetID(), prefix, at.Unix(), unique)
}

// child is a new job made from this one, which is not run itself.
func (j *Job) child(id string, at time.Time) *Job {
	c := j.Clone()
	submitted := at.UnixNano()
	no, none, zero := false, "", uint64(0)
	c.ID, c.Name, c.ParentID, c.SubmitTime = &id, &id, j.ID, &submitted
	c.Stop, c.Stable, c.Status, c.StatusDescription = &no, &no, &none, &none
	c.Version, c.CreateIndex, c.ModifyIndex, c.JobModifyIndex = &zero, &zero, &zero, &zero
	c.VersionTag = nil
	return c
}

// Launch is the job that a periodic job launches for an instant.
func (j *Job) Launch(instant, now time.Time) *Job {
	c := j.child(j.LaunchID(instant), now)
	c.Periodic = nil
	return c
}

// Dispatch is the job that a dispatch of a parameterized job makes. The payload
// is that of the request as it is to be stored.
func (j *Job) Dispatch(d *JobDispatch, payload []byte, now time.Time, unique string) *Job {
	c := j.child(j.DispatchID(d.IdPrefixTemplate, now, unique), now)
	c.Dispatched, c.Payload = true, payload
	if d.IdempotencyToken != "" {
		c.DispatchIdempotencyToken = &d.IdempotencyToken
	}
	if d.Priority > 0 {
		c.Priority = &d.Priority
	}
	if len(d.Meta) > 0 {
		if c.Meta == nil {
			c.Meta = map[string]string{}
		}
		maps.Copy(c.Meta, d.Meta)
	}
	return c
}

// CheckDispatch says why a dispatch of the job is refused, if it is.
func (j *Job) CheckDispatch(d *JobDispatch) error {
	switch {
	case !j.IsParameterized():
		return NewError(KindRefused, "job %q is not parameterized: register it with a parameterized block, or run it as it is", j.GetID())
	case j.Stopped():
		return NewError(KindRefused, "job %q is stopped: register it again before it is dispatched", j.GetID())
	case d.Priority < 0 || d.Priority > JobMaxPriority:
		return NewError(KindRefused, "the priority must be from %d to %d, is %d", JobMinPriority, JobMaxPriority, d.Priority)
	case strings.ContainsAny(d.IdPrefixTemplate, " \x00/") || len(d.IdPrefixTemplate) > maxIDPrefix:
		return NewError(KindRefused, "the prefix of the ID must not contain a space, a slash or a NUL character, and have %d bytes at most", maxIDPrefix)
	}
	if err := j.ParameterizedJob.checkPayload(d.Payload); err != nil {
		return err
	}
	return j.ParameterizedJob.checkMeta(d.Meta)
}

func (p *ParameterizedJobConfig) checkPayload(payload []byte) error {
	switch {
	case len(payload) > MaxDispatchPayload:
		return NewError(KindRefused, "the payload has %d bytes, more than the limit of %d: pass a place to read it from instead", len(payload), MaxDispatchPayload)
	case len(payload) == 0 && p.Payload == "required":
		return NewError(KindRefused, "the job requires a payload, and the dispatch has none")
	case len(payload) > 0 && p.Payload == "forbidden":
		return NewError(KindRefused, "the job forbids a payload, and the dispatch has one")
	}
	return nil
}

// checkMeta asks for all keys that are required, and none but those and the
// optional ones.
func (p *ParameterizedJobConfig) checkMeta(given map[string]string) error {
	var missing, unknown []string
	for _, k := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(p.MetaRequired, k) && !slices.Contains(p.MetaOptional, k) {
			unknown = append(unknown, k)
		}
	}
	for _, k := range p.MetaRequired {
		if _, has := given[k]; !has {
			missing = append(missing, k)
		}
	}
	switch {
	case len(unknown) > 0:
		return NewError(KindRefused, "the dispatch has unpermitted metadata keys: %v: the job takes those of meta_required and meta_optional", unknown)
	case len(missing) > 0:
		return NewError(KindRefused, "the dispatch did not provide required meta keys: %v", missing)
	}
	return nil
}
