package structs

import (
	"math"
	"slices"
	"strings"
	"time"
)

// Validate returns a *ValidationError with all that is wrong with the job, or
// nil. The job is canonical; what only the cluster knows (whether a namespace,
// a node pool or a driver exists) is not asked here.
func (j *Job) Validate() error {
	f := newFaults()
	j.validateHead(f)
	j.validateKind(f)
	validateConstraints(f, j.Constraints, true)
	j.validateAffinities(f, j.Affinities)
	j.validateSpreads(f, j.Spreads)
	f.check(len(j.TaskGroups) > 0, "a job needs at least one group")
	seen := map[string]bool{}
	for _, g := range j.TaskGroups {
		name := g.GetName()
		f.check(!seen[name], "there are two groups named %q: rename one", name)
		seen[name] = true
		g.validate(f.in("group %q", name), j)
	}
	n := j.Patterns()
	f.check(n <= MaxPatterns, "the constraints and affinities have %d regular expressions, more than the limit of %d", n, MaxPatterns)
	return f.err()
}

// ValidateCount says whether the groups of a job ask for more allocations than a
// server takes in one job; 0 is no limit.
func (j *Job) ValidateCount(limit int) error {
	f, total := newFaults(), uint64(0) // no count is negative: the sum of two fits
	for _, g := range j.TaskGroups {
		total = min(total, math.MaxInt64) + uint64(max(0, g.GetCount()))
	}
	f.check(limit == 0 || total <= uint64(limit), "the groups' counts add up to %d, more than the limit of %d (job_max_count of the servers)", total, limit)
	return f.err()
}

func (j *Job) validateHead(f faults) {
	id := j.GetID()
	f.check(id != "", "a job needs an ID")
	f.check(!strings.ContainsAny(id, " \x00"), "the ID %q must not contain a space or a NUL character", id)
	f.check(j.GetName() != "", "a job needs a name")
	f.check(!strings.Contains(j.GetName(), "\x00"), "the name must not contain a NUL character")
	f.check(j.GetRegion() != "", "a job needs a region")
	f.check(j.GetNamespace() != "", "a job needs a namespace")
	p := j.GetPriority()
	f.in("priority").check(p >= JobMinPriority && p <= JobMaxPriority,
		"must be from %d to %d, is %d", JobMinPriority, JobMaxPriority, p)
	f.in("datacenters").check(len(j.Datacenters) > 0, `name at least one, or "*" for all`)
	f.in("datacenters").check(!slices.Contains(j.Datacenters, ""), "must not contain an empty name")
	f.check(!j.IsMultiregion(), "multiregion jobs can't be run by this version: register the job in each region")
	if j.UI != nil {
		n := len([]rune(j.UI.Description))
		f.in("ui > description").check(n <= JobVersionTagMaxDescription,
			"has %d characters, more than the limit of %d", n, JobVersionTagMaxDescription)
	}
	f.check(!slices.Contains(mapKeys(j.Meta), ""), "meta must not have an empty key")
}

// jobTypes are the types that users may register.
func jobTypes() []string {
	return []string{JobTypeService, JobTypeBatch, JobTypeSystem, JobTypeSysBatch}
}

func (j *Job) validateKind(f faults) {
	kind := j.GetType()
	f.in("type").check(slices.Contains(jobTypes(), kind), "%s", wantOneOf(kind, jobTypes()))
	ends := Ends(kind)
	if p := j.Periodic; p != nil {
		in := f.in("periodic")
		in.check(ends, "only batch and sysbatch jobs can be periodic, this is a %s job", kind)
		in.check(j.ParameterizedJob == nil, "a job can't be both periodic and parameterized")
		p.validate(in)
	}
	if p := j.ParameterizedJob; p != nil {
		in := f.in("parameterized")
		in.check(ends, "only batch and sysbatch jobs can be parameterized, this is a %s job", kind)
		p.validate(in)
	}
}

func (p *PeriodicConfig) validate(f faults) {
	spec := Value(p.Spec)
	f.check(spec != "" || len(p.Specs) > 0, "set crons to a list of cron expressions")
	f.check(spec == "" || len(p.Specs) == 0, "set either cron or crons, not both")
	f.check(Value(p.SpecType) == periodicSpecType, "the type of its schedule must be %q, is %q", periodicSpecType, Value(p.SpecType))
	in := f.in("crons")
	if spec != "" {
		in = f.in("cron")
	}
	for _, text := range p.Crons() {
		c, err := parseCron(text)
		if err != nil {
			in.add("%q is no cron expression that can be used: %v", text, err)
			continue
		}
		_, longest := c.pace()
		in.check(longest != time.Second, "%q fires every second, faster than jobs can be launched: of seven fields the first is for seconds, set it to 0", text)
	}
	_, err := time.LoadLocation(Value(p.TimeZone))
	f.in("time_zone").check(err == nil, "%q is not a known time zone: use a name like Europe/Vienna", Value(p.TimeZone))
}

func (p *ParameterizedJobConfig) validate(f faults) {
	allowed := []string{"optional", "required", "forbidden"}
	f.in("payload").check(slices.Contains(allowed, p.Payload), "%s", wantOneOf(p.Payload, allowed))
	for _, k := range p.MetaRequired {
		f.check(!slices.Contains(p.MetaOptional, k), "the meta key %q is both required and optional", k)
	}
	f.in("meta_required").check(!slices.Contains(p.MetaRequired, ""), "must not have an empty key")
	f.in("meta_optional").check(!slices.Contains(p.MetaOptional, ""), "must not have an empty key")
}

func (j *Job) validateAffinities(f faults, list []*Affinity) {
	if j.GetType() == JobTypeSystem {
		f.check(len(list) == 0, "system jobs run on every node and can't have affinities")
	}
	for i, a := range list {
		a.validate(f.in("affinity %d", i+1))
	}
}

func (j *Job) validateSpreads(f faults, list []*Spread) {
	if j.GetType() == JobTypeSystem || j.GetType() == JobTypeSysBatch {
		f.check(len(list) == 0, "%s jobs run on every node and can't have spreads", j.GetType())
	}
	for i, s := range list {
		s.validate(f.in("spread %d", i+1))
	}
}

func wantOneOf(got string, allowed []string) string {
	if got == "" {
		return "must be one of " + strings.Join(allowed, ", ")
	}
	return "must be one of " + strings.Join(allowed, ", ") + `, is "` + got + `"`
}

func mapKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
