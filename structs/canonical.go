package structs

import (
	"reflect"
	"time"
)

// Canonicalize gives every optional field its default and removes what says
// nothing, in place. It is idempotent. A nil in a list is dropped, so that no
// reader needs to expect one.
func (j *Job) Canonicalize() {
	tidy(reflect.ValueOf(j))
	j.fillIdentity()
	j.fillBookkeeping()
	for _, g := range j.TaskGroups {
		g.canonicalize(j)
	}
	// What the job said for all groups is now in the groups.
	j.Update = j.reducedUpdate()
	j.Reschedule, j.Migrate = nil, nil
	canonicalizeConstraints(j.Constraints)
	canonicalizeAffinities(j.Affinities)
	canonicalizeSpreads(j.Spreads)
	j.Periodic.canonicalize()
	if j.ParameterizedJob != nil {
		fillZero(&j.ParameterizedJob.Payload, "optional")
	}
	tidy(reflect.ValueOf(j))
}

func (j *Job) fillIdentity() {
	fillText(&j.Region, DefaultRegion)
	fillText(&j.Namespace, DefaultNamespace)
	fillText(&j.ID, Value(j.Name))
	fillText(&j.Name, Value(j.ID))
	fillText(&j.Type, JobTypeService)
	if Value(j.Priority) == 0 {
		j.Priority = new(JobDefaultPriority)
	}
	fill(&j.AllAtOnce, false)
	fillText(&j.NodePool, NodePoolDefault)
	if len(j.Datacenters) == 0 {
		j.Datacenters = []string{"*"}
	}
}

func (j *Job) fillBookkeeping() {
	for _, text := range []**string{
		&j.ParentID, &j.DispatchIdempotencyToken, &j.ConsulNamespace, &j.VaultNamespace,
		&j.NomadTokenID, &j.Status, &j.StatusDescription,
	} {
		fill(text, "")
	}
	for _, index := range []**uint64{&j.Version, &j.CreateIndex, &j.ModifyIndex, &j.JobModifyIndex} {
		fill(index, 0)
	}
	fill(&j.Stop, false)
	fill(&j.Stable, false)
	fill(&j.SubmitTime, 0)
}

// updates reports whether the job is rolled out by an update strategy.
func (j *Job) updates() bool {
	return j.GetType() == JobTypeService || j.GetType() == JobTypeSystem
}

// reducedUpdate is the job's own update strategy as the API shows it: the
// groups hold the truth, the job keeps pace and stagger.
func (j *Job) reducedUpdate() *UpdateStrategy {
	u := &UpdateStrategy{
		Stagger: new(time.Duration(0)), MaxParallel: new(0), HealthCheck: new(""),
		MinHealthyTime: new(time.Duration(0)), HealthyDeadline: new(time.Duration(0)),
		ProgressDeadline: new(time.Duration(0)), Canary: new(0),
		AutoRevert: new(false), AutoPromote: new(false),
	}
	if !j.updates() {
		return u
	}
	def := DefaultUpdateStrategy()
	inherit(&j.Update, def)
	u.Stagger, u.MaxParallel = j.Update.Stagger, j.Update.MaxParallel
	return u
}

// groupUpdate is what the job's update strategy gives its groups. The reduced
// form, recognised by its empty health check, says nothing but pace and stagger,
// and of a job without updates nothing at all.
func (j *Job) groupUpdate() *UpdateStrategy {
	u := j.Update
	if u == nil || u.HealthCheck == nil || *u.HealthCheck != "" {
		return u
	}
	if !j.updates() {
		return nil
	}
	return &UpdateStrategy{Stagger: u.Stagger, MaxParallel: u.MaxParallel}
}

func (p *PeriodicConfig) canonicalize() {
	if p == nil {
		return
	}
	fill(&p.Enabled, true)
	fill(&p.Spec, "")
	fillText(&p.SpecType, periodicSpecType)
	fill(&p.ProhibitOverlap, false)
	fillText(&p.TimeZone, "UTC")
}

func canonicalizeConstraints(list []*Constraint) {
	for _, c := range list {
		fillZero(&c.Operand, OpEqual)
	}
}

func canonicalizeAffinities(list []*Affinity) {
	for _, a := range list {
		fillZero(&a.Operand, OpEqual)
		fill(&a.Weight, 50)
	}
}

func canonicalizeSpreads(list []*Spread) {
	for _, s := range list {
		fill(&s.Weight, 50)
	}
}
