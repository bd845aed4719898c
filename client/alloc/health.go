package alloc

import (
	"fmt"
	"time"

	"github.com/steppe-run/steppe/client/service"
	"github.com/steppe-run/steppe/structs"
)

// Rule is what an allocation has to show to count as healthy.
type Rule struct {
	// Mode is checks or task_states.
	Mode       string
	MinHealthy time.Duration
	Deadline   time.Time
}

// RuleFor returns the rule of an allocation that began at now, and whether its
// health is asked for at all: by its deployment or, outside of one, by those
// who drain nodes.
func RuleFor(a *structs.Allocation, now time.Time) (Rule, bool) {
	group := a.Job.LookupTaskGroup(a.TaskGroup)
	if group == nil {
		return Rule{}, false
	}
	if u := group.Update; a.DeploymentID != "" && u != nil {
		mode := structs.ValueOr(u.HealthCheck, structs.HealthChecks)
		rule := Rule{Mode: mode, MinHealthy: structs.Value(u.MinHealthyTime), Deadline: now.Add(structs.Value(u.HealthyDeadline))}
		return rule, mode != structs.HealthManual
	}
	if m := group.Migrate; a.Job.GetType() == structs.JobTypeService && m != nil {
		rule := Rule{
			Mode:       structs.ValueOr(m.HealthCheck, structs.HealthChecks),
			MinHealthy: structs.Value(m.MinHealthyTime),
			Deadline:   now.Add(structs.Value(m.HealthyDeadline)),
		}
		return rule, true
	}
	return Rule{}, false
}

// Judgement is what is known of an allocation's health. Once Known it stays.
type Judgement struct {
	Known   bool
	Healthy bool
	// Reason says why it isn't healthy.
	Reason string
	// Since is when the present good state began; zero while it isn't good.
	Since time.Time
	// Wake is when to judge again if nothing happens; zero: no need.
	Wake time.Time
}

// Evidence is what health is judged by.
type Evidence struct {
	Tasks  []View
	Checks map[string]*structs.AllocCheckStatus
	// Expected is how many checks the group's services have.
	Expected int
}

// Judge looks at an allocation at now, given what was judged before.
func Judge(rule Rule, before Judgement, now time.Time, e Evidence) Judgement {
	if before.Known {
		return before
	}
	bad, final := tasksBad(e.Tasks)
	if bad == "" && rule.Mode == structs.HealthChecks {
		bad = checksBad(e)
	}
	j := Judgement{Since: before.Since}
	switch {
	case bad != "" && final:
		return Judgement{Known: true, Reason: bad}
	case bad != "":
		j.Since = time.Time{}
	case j.Since.IsZero():
		j.Since = now
	}
	for _, v := range e.Tasks {
		if !j.Since.IsZero() && v.State.StartedAt.After(j.Since) {
			j.Since = v.State.StartedAt // it was restarted meanwhile
		}
	}
	if !j.Since.IsZero() && now.Sub(j.Since) >= rule.MinHealthy {
		return Judgement{Known: true, Healthy: true}
	}
	if !now.Before(rule.Deadline) {
		if bad == "" {
			bad = fmt.Sprintf("it was not healthy for min_healthy_time (%s)", rule.MinHealthy)
		}
		return Judgement{Known: true, Reason: "healthy_deadline is over: " + bad}
	}
	j.Wake = rule.Deadline
	if !j.Since.IsZero() && j.Since.Add(rule.MinHealthy).Before(j.Wake) {
		j.Wake = j.Since.Add(rule.MinHealthy)
	}
	return j
}

// tasksBad says what is wrong with the tasks, and whether that is final.
func tasksBad(views []View) (reason string, final bool) {
	for _, v := range views {
		switch {
		case v.Task.IsPoststop():
		case v.failed():
			return fmt.Sprintf("task %q failed", v.Task.Name), true
		case v.once() && v.dead():
		case v.dead():
			return fmt.Sprintf("task %q ended", v.Task.Name), true
		case v.once():
			reason = fmt.Sprintf("task %q has not completed", v.Task.Name)
		case !v.running():
			reason = fmt.Sprintf("task %q is not running", v.Task.Name)
		}
	}
	return reason, false
}

// checksBad says which check keeps the allocation from being healthy.
func checksBad(e Evidence) string {
	if missing := e.Expected - len(e.Checks); missing > 0 {
		return fmt.Sprintf("%d of %d checks have not reported", missing, e.Expected)
	}
	for _, c := range e.Checks {
		good := c.Status == service.StatusSuccess || c.IgnoreWarnings && c.Status == service.StatusWarning
		if c.Mode != service.ModeReadiness && !good {
			return fmt.Sprintf("check %q is %s", c.Check, c.Status)
		}
	}
	return ""
}

// countChecks is how many checks the services of a group and its tasks have.
func countChecks(group *structs.TaskGroup) int {
	n := 0
	for _, svc := range group.Services {
		n += len(svc.Checks)
	}
	for _, t := range group.Tasks {
		for _, svc := range t.Services {
			n += len(svc.Checks)
		}
	}
	return n
}
