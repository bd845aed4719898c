package story

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-run/steppe/sim/node"
	"github.com/steppe-run/steppe/structs"
)

// jobOf reads "job web service count=10 max_parallel=2": a job of one group.
func jobOf(words []string) (*structs.Job, error) {
	if len(words) < 3 {
		return nil, fmt.Errorf("say: job NAME service|batch|system|sysbatch KEY=VALUE …")
	}
	id, kind := words[1], words[2]
	b := &builder{job: &structs.Job{ID: &id, Name: new(id), Type: &kind}, config: map[string]any{}}
	b.group = &structs.TaskGroup{Name: new("g"), Count: new(1)}
	b.task = &structs.Task{Name: "main", Driver: node.DriverName, Config: b.config, Resources: &structs.Resources{CPU: new(100), MemoryMB: new(100)}}
	b.group.Tasks = []*structs.Task{b.task}
	b.job.TaskGroups = []*structs.TaskGroup{b.group}
	settings := settings()
	for _, word := range words[3:] {
		key, value, _ := strings.Cut(word, "=")
		set := settings[key]
		if set == nil {
			return nil, fmt.Errorf("a job has no setting %q here", key)
		}
		if err := set(b, value); err != nil {
			return nil, fmt.Errorf("%s: %w", word, err)
		}
	}
	return b.job, nil
}

// builder is a job being read.
type builder struct {
	job    *structs.Job
	group  *structs.TaskGroup
	task   *structs.Task
	config map[string]any
}

func (b *builder) update() *structs.UpdateStrategy {
	if b.group.Update == nil {
		b.group.Update = &structs.UpdateStrategy{}
	}
	return b.group.Update
}

func (b *builder) rescheduling() *structs.ReschedulePolicy {
	if b.group.ReschedulePolicy == nil {
		b.group.ReschedulePolicy = &structs.ReschedulePolicy{}
	}
	return b.group.ReschedulePolicy
}

func (b *builder) restarting() *structs.RestartPolicy {
	if b.group.RestartPolicy == nil {
		b.group.RestartPolicy = &structs.RestartPolicy{}
	}
	return b.group.RestartPolicy
}

func (b *builder) disconnect() *structs.DisconnectStrategy {
	if b.group.Disconnect == nil {
		b.group.Disconnect = &structs.DisconnectStrategy{}
	}
	return b.group.Disconnect
}

// set reads a value into a job.
type set func(b *builder, value string) error

func number(to func(b *builder) **int) set {
	return func(b *builder, value string) error {
		n, err := strconv.Atoi(value)
		*to(b) = &n
		return err
	}
}

func span(to func(b *builder) **time.Duration) set {
	return func(b *builder, value string) error {
		d, err := time.ParseDuration(value)
		*to(b) = &d
		return err
	}
}

func yesNo(to func(b *builder) **bool) set {
	return func(b *builder, value string) error {
		on := true
		var err error
		if value != "" {
			on, err = strconv.ParseBool(value)
		}
		*to(b) = &on
		return err
	}
}

func word(to func(b *builder) **string) set {
	return func(b *builder, value string) error {
		*to(b) = &value
		return nil
	}
}

func behaviour(key string) set {
	return func(b *builder, value string) error {
		b.config[key] = value
		return nil
	}
}

// settings are what a line may say of a job.
func settings() map[string]set {
	return map[string]set{
		"count":            number(func(b *builder) **int { return &b.group.Count }),
		"priority":         number(func(b *builder) **int { return &b.job.Priority }),
		"cpu":              number(func(b *builder) **int { return &b.task.Resources.CPU }),
		"memory":           number(func(b *builder) **int { return &b.task.Resources.MemoryMB }),
		"image":            func(b *builder, value string) error { b.task.Env = map[string]string{"IMAGE": value}; return nil },
		"meta":             func(b *builder, value string) error { b.job.Meta = map[string]string{"note": value}; return nil },
		"max_parallel":     number(func(b *builder) **int { return &b.update().MaxParallel }),
		"canary":           number(func(b *builder) **int { return &b.update().Canary }),
		"auto_promote":     yesNo(func(b *builder) **bool { return &b.update().AutoPromote }),
		"auto_revert":      yesNo(func(b *builder) **bool { return &b.update().AutoRevert }),
		"min_healthy":      span(func(b *builder) **time.Duration { return &b.update().MinHealthyTime }),
		"healthy_by":       span(func(b *builder) **time.Duration { return &b.update().HealthyDeadline }),
		"progress_by":      span(func(b *builder) **time.Duration { return &b.update().ProgressDeadline }),
		"health":           word(func(b *builder) **string { return &b.update().HealthCheck }),
		"restarts":         number(func(b *builder) **int { return &b.restarting().Attempts }),
		"restart_within":   span(func(b *builder) **time.Duration { return &b.restarting().Interval }),
		"restart_delay":    span(func(b *builder) **time.Duration { return &b.restarting().Delay }),
		"restart_mode":     word(func(b *builder) **string { return &b.restarting().Mode }),
		"reschedules":      number(func(b *builder) **int { return &b.rescheduling().Attempts }),
		"reschedule_in":    span(func(b *builder) **time.Duration { return &b.rescheduling().Interval }),
		"reschedule_delay": span(func(b *builder) **time.Duration { return &b.rescheduling().Delay }),
		"unlimited":        yesNo(func(b *builder) **bool { return &b.rescheduling().Unlimited }),
		"lost_after":       span(func(b *builder) **time.Duration { return &b.disconnect().LostAfter }),
		"stop_after":       span(func(b *builder) **time.Duration { return &b.disconnect().StopOnClientAfter }),
		"replace":          yesNo(func(b *builder) **bool { return &b.disconnect().Replace }),
		"reconcile":        word(func(b *builder) **string { return &b.disconnect().Reconcile }),
		"shutdown_delay": func(b *builder, value string) (err error) {
			b.task.ShutdownDelay, err = time.ParseDuration(value)
			return err
		},
		"kill_timeout": span(func(b *builder) **time.Duration { return &b.task.KillTimeout }),
		"distinct_hosts": func(b *builder, _ string) error {
			b.group.Constraints = append(b.group.Constraints, &structs.Constraint{Operand: structs.OpDistinctHosts})
			return nil
		},
		"port": func(b *builder, value string) error {
			n, err := strconv.Atoi(value)
			network := &structs.NetworkResource{}
			if n > 0 {
				network.ReservedPorts = []structs.Port{{Label: "main", Value: n}}
			} else {
				network.DynamicPorts = []structs.Port{{Label: "main"}}
			}
			b.group.Networks = []*structs.NetworkResource{network}
			return err
		},
		"migrate": func(b *builder, value string) error {
			n, err := strconv.Atoi(value)
			b.group.Migrate = &structs.MigrateStrategy{MaxParallel: &n}
			return err
		},
		"check": func(b *builder, value string) error {
			b.group.Services = []*structs.Service{{
				Name: value, Provider: structs.ServiceProviderNomad, PortLabel: "main",
				Checks: []structs.ServiceCheck{{Name: "up", Type: structs.CheckTypeTCP, Interval: 10 * time.Second, Timeout: 2 * time.Second}},
			}}
			return nil
		},
		"run_for": behaviour("run_for"), "exit": behaviour("exit_code"), "fail_first": behaviour("fail_first"),
		"start_block": behaviour("start_block_for"), "kill_after": behaviour("kill_after"),
		"start_error": behaviour("start_error"),
	}
}
