package structs

import (
	"slices"
	"strings"
	"time"
)

func (g *TaskGroup) validate(f faults, j *Job) {
	kind := j.GetType()
	name := g.GetName()
	f.check(name != "", "a group needs a name")
	f.check(!strings.Contains(name, "\x00"), "the name must not contain a NUL character")
	count := g.GetCount()
	f.in("count").check(count >= 0, "must be 0 or more, is %d", count)
	if kind == JobTypeSystem {
		f.in("count").check(count <= 1, "a system job runs once on every node, so at most 1, is %d", count)
	}
	validateConstraints(f, g.Constraints, true)
	g.validateConflicts(f.in("constraint"), j)
	j.validateAffinities(f, g.Affinities)
	j.validateSpreads(f, g.Spreads)
	g.RestartPolicy.validate(f.in("restart"))
	g.validatePolicies(f, j)
	g.Scaling.validate(f.in("scaling"), count, kind)
	g.validateVolumes(f, kind)
	g.validateNetworks(f)
	g.validateDurations(f, kind)
	g.validateDisk(f.in("ephemeral_disk"))
	g.validateServices(f)
	g.validateTasks(f, j)
}

func (g *TaskGroup) validateTasks(f faults, j *Job) {
	f.check(len(g.Tasks) > 0, "a group needs at least one task")
	main, leaders, seen := 0, 0, map[string]bool{}
	for _, t := range g.Tasks {
		f.check(!seen[t.Name], "there are two tasks named %q: rename one", t.Name)
		seen[t.Name] = true
		if t.IsMain() {
			main++
		}
		if t.Leader {
			leaders++
		}
		t.validate(f.in("task %q", t.Name), j, g)
	}
	f.check(len(g.Tasks) == 0 || main > 0, "a group needs a task without a lifecycle block, its main task")
	f.check(leaders <= 1, "%d tasks are leaders, at most one can be", leaders)
}

func (g *TaskGroup) validatePolicies(f faults, j *Job) {
	kind := j.GetType()
	if g.Update != nil {
		in := f.in("update")
		in.check(j.updates(), "only service and system jobs can have it, this is a %s job", kind)
		g.Update.validate(in)
		if kind == JobTypeSystem {
			g.Update.validateEveryNode(in)
		}
	}
	if g.ReschedulePolicy != nil {
		in := f.in("reschedule")
		in.check(kind == JobTypeService || kind == JobTypeBatch,
			"only service and batch jobs can have it, this is a %s job", kind)
		g.ReschedulePolicy.validate(in)
	}
	if g.Migrate != nil {
		in := f.in("migrate")
		in.check(kind == JobTypeService, "only service jobs can have it, this is a %s job", kind)
		g.Migrate.validate(in)
	}
	if d := g.Disconnect; d != nil {
		d.validate(f.in("disconnect"), kind)
	}
}

func (g *TaskGroup) validateDurations(f faults, kind string) {
	f.in("shutdown_delay").check(Value(g.ShutdownDelay) >= 0, "must not be negative, is %s", Value(g.ShutdownDelay))
	if d := g.MaxRunDuration; d != nil {
		in := f.in("max_run_duration")
		in.check(*d > 0, "must be more than 0, is %s", *d)
		in.check(Ends(kind),
			"only batch and sysbatch jobs can have it, this is a %s job", kind)
	}
	if c := g.Consul; c != nil {
		c.validate(f.in("consul"))
	}
}

func (g *TaskGroup) validateDisk(f faults) {
	if g.EphemeralDisk == nil {
		return
	}
	size := Value(g.EphemeralDisk.SizeMB)
	f.in("size").check(size >= 10, "must be 10 MB or more, is %d", size)
	logs := 0
	for _, t := range g.Tasks {
		if c := t.LogConfig; c != nil && !Value(c.Disabled) {
			logs += Value(c.MaxFiles) * Value(c.MaxFileSizeMB)
		}
	}
	f.in("size").check(logs < size || size < 10,
		"the tasks' logs may take %d MB, which must be less than the disk's %d MB: enlarge the disk or lower max_files or max_file_size", logs, size)
}

func (p *RestartPolicy) validate(f faults) {
	if p == nil {
		return
	}
	attempts, interval, delay := Value(p.Attempts), Value(p.Interval), Value(p.Delay)
	modes := []string{RestartModeFail, RestartModeDelay}
	f.in("mode").check(slices.Contains(modes, Value(p.Mode)), "%s", wantOneOf(Value(p.Mode), modes))
	f.in("attempts").check(attempts >= 0, "must be 0 or more, is %d", attempts)
	f.in("attempts").check(attempts != 0 || Value(p.Mode) != RestartModeDelay, `0 attempts can only be used with mode "fail"`)
	f.in("interval").check(interval >= 5*time.Second, "must be 5s or more, is %s", interval)
	f.in("delay").check(delay >= 0, "must not be negative, is %s", delay)
	f.check(attempts <= 0 || delay <= interval/time.Duration(attempts),
		"%d restarts with a delay of %s can't happen in an interval of %s: lengthen the interval", attempts, delay, interval)
}

func (p *ReschedulePolicy) validate(f faults) {
	attempts, interval, delay := Value(p.Attempts), Value(p.Interval), Value(p.Delay)
	functions := []string{DelayConstant, DelayExponential, DelayFibonacci}
	function := Value(p.DelayFunction)
	f.in("attempts").check(attempts >= 0, "must be 0 or more, is %d", attempts)
	if attempts == 0 && !Value(p.Unlimited) {
		return // no rescheduling, the rest has no effect
	}
	f.in("delay").check(delay >= 5*time.Second, "must be 5s or more, is %s", delay)
	f.in("delay_function").check(slices.Contains(functions, function), "%s", wantOneOf(function, functions))
	if function != DelayConstant {
		limit := Value(p.MaxDelay)
		f.in("max_delay").check(limit >= 5*time.Second && limit >= delay,
			"must be 5s or more and not less than the delay of %s, is %s", delay, limit)
	}
	if Value(p.Unlimited) {
		f.in("attempts").check(attempts == 0, "must be 0 when unlimited is true, is %d", attempts)
		return
	}
	f.in("interval").check(interval >= 15*time.Second, "must be 15s or more when attempts are limited, is %s", interval)
	need := p.total(attempts)
	f.check(need <= interval, "%d attempts take %s with these delays, longer than the interval of %s: lengthen it", attempts, need, interval)
}

// total is how long n attempts take at least.
func (p *ReschedulePolicy) total(n int) time.Duration {
	var sum time.Duration
	var past []*RescheduleEvent
	for range min(n, 1000) {
		d := p.NextDelay(past, time.Time{})
		sum = saturatingSum(sum, d)
		past = append(past, &RescheduleEvent{Delay: d})
	}
	return sum
}

func (u *UpdateStrategy) validate(f faults) {
	checks := []string{HealthChecks, HealthTaskStates, HealthManual}
	f.in("health_check").check(slices.Contains(checks, Value(u.HealthCheck)), "%s", wantOneOf(Value(u.HealthCheck), checks))
	f.in("max_parallel").check(Value(u.MaxParallel) >= 0, "must be 0 or more, is %d", Value(u.MaxParallel))
	canary := Value(u.Canary)
	f.in("canary").check(canary >= 0, "must be 0 or more, is %d", canary)
	f.in("auto_promote").check(canary > 0 || !Value(u.AutoPromote), "needs canaries: set canary, or leave auto_promote out")
	healthy, deadline, progress := Value(u.MinHealthyTime), Value(u.HealthyDeadline), Value(u.ProgressDeadline)
	f.in("min_healthy_time").check(healthy >= 0, "must not be negative, is %s", healthy)
	f.in("healthy_deadline").check(deadline > 0, "must be more than 0, is %s", deadline)
	f.in("progress_deadline").check(progress >= 0, "must not be negative, is %s", progress)
	f.in("min_healthy_time").check(healthy < deadline || deadline <= 0,
		"must be less than the healthy_deadline of %s, is %s", deadline, healthy)
	f.in("healthy_deadline").check(progress <= 0 || deadline < progress,
		"must be less than the progress_deadline of %s, is %s", progress, deadline)
	f.in("stagger").check(Value(u.Stagger) > 0, "must be more than 0, is %s", Value(u.Stagger))
}

// validateEveryNode checks what means something else for a system job: canary is a
// share of its nodes, and stagger holds up its deployment.
func (u *UpdateStrategy) validateEveryNode(f faults) {
	canary, progress, stagger := Value(u.Canary), Value(u.ProgressDeadline), Value(u.Stagger)
	f.in("canary").check(canary <= 100, "of a system job it is the share of nodes in percent, so at most 100, is %d", canary)
	f.in("stagger").check(Value(u.MaxParallel) == 0 || progress <= 0 || stagger < progress,
		"must be less than the progress_deadline of %s, or no update can make progress, is %s", progress, stagger)
}

func (m *MigrateStrategy) validate(f faults) {
	checks := []string{HealthChecks, HealthTaskStates}
	f.in("health_check").check(slices.Contains(checks, Value(m.HealthCheck)), "%s", wantOneOf(Value(m.HealthCheck), checks))
	f.in("max_parallel").check(Value(m.MaxParallel) >= 0, "must be 0 or more, is %d", Value(m.MaxParallel))
	healthy, deadline := Value(m.MinHealthyTime), Value(m.HealthyDeadline)
	f.in("min_healthy_time").check(healthy >= 0, "must not be negative, is %s", healthy)
	f.in("healthy_deadline").check(deadline >= 0, "must not be negative, is %s", deadline)
	f.in("min_healthy_time").check(healthy <= deadline || deadline < 0,
		"must not be more than the healthy_deadline of %s, is %s", deadline, healthy)
}

func (d *DisconnectStrategy) validate(f faults, kind string) {
	ways := []string{ReconcileBestScore, ReconcileLongestRunning, ReconcileKeepOriginal, ReconcileKeepReplacement}
	f.in("reconcile").check(slices.Contains(ways, Value(d.Reconcile)), "%s", wantOneOf(Value(d.Reconcile), ways))
	f.in("lost_after").check(Value(d.LostAfter) >= 0, "must not be negative, is %s", Value(d.LostAfter))
	if stop := d.StopOnClientAfter; stop != nil {
		in := f.in("stop_on_client_after")
		in.check(*stop >= 0, "must not be negative, is %s", *stop)
		in.check(Value(d.LostAfter) == 0, "can't be used together with lost_after")
		in.check(kind == JobTypeService || kind == JobTypeBatch,
			"only service and batch jobs can have it, this is a %s job", kind)
	}
}

func (p *ScalingPolicy) validate(f faults, count int, kind string) {
	if p == nil {
		return
	}
	f.check(kind != JobTypeSystem, "system jobs run on every node and can't be scaled")
	low, high := Value(p.Min), Value(p.Max)
	f.in("min").check(low >= 0, "must be 0 or more, is %d", low)
	f.in("max").check(high >= 0, "set it to the largest count allowed")
	f.check(high < 0 || low <= high, "min is %d, more than max, which is %d", low, high)
	f.check(high < 0 || int64(count) >= low && int64(count) <= high,
		"the group's count of %d must be from min %d to max %d", count, low, high)
	f.in("type").check(p.Type == "horizontal", "%s", wantOneOf(p.Type, []string{"horizontal"}))
}
