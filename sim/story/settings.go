package story

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-run/steppe/structs"
)

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

func (b *builder) periodic() *structs.PeriodicConfig {
	if b.job.Periodic == nil {
		b.job.Periodic = &structs.PeriodicConfig{}
	}
	return b.job.Periodic
}

func (b *builder) parameterized() *structs.ParameterizedJobConfig {
	if b.job.ParameterizedJob == nil {
		b.job.ParameterizedJob = &structs.ParameterizedJobConfig{}
	}
	return b.job.ParameterizedJob
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

// jobSettings are what a line may say of a job as a whole.
func jobSettings() map[string]set {
	list := func(to func(b *builder) *[]string) set {
		return func(b *builder, value string) error {
			*to(b) = strings.Split(value, ",")
			return nil
		}
	}
	return map[string]set{
		"group":         func(b *builder, value string) error { b.begin(value); return nil },
		"priority":      number(func(b *builder) **int { return &b.job.Priority }),
		"meta":          func(b *builder, value string) error { b.job.Meta = map[string]string{"note": value}; return nil },
		"parameterized": func(b *builder, _ string) error { b.parameterized(); return nil },
		"payload":       func(b *builder, value string) error { b.parameterized().Payload = value; return nil },
		"meta_required": list(func(b *builder) *[]string { return &b.parameterized().MetaRequired }),
		"meta_optional": list(func(b *builder) *[]string { return &b.parameterized().MetaOptional }),
		"cron": func(b *builder, value string) error {
			b.periodic().Specs = append(b.periodic().Specs, strings.ReplaceAll(value, "_", " "))
			return nil
		},
		"time_zone":        word(func(b *builder) **string { return &b.periodic().TimeZone }),
		"prohibit_overlap": yesNo(func(b *builder) **bool { return &b.periodic().ProhibitOverlap }),
		"enabled":          yesNo(func(b *builder) **bool { return &b.periodic().Enabled }),
		"run_missed":       yesNo(func(b *builder) **bool { return &b.periodic().RunMissed }),
	}
}

// groupSettings are what a line may say of a group and its task.
func groupSettings() map[string]set {
	return map[string]set{
		"count":            number(func(b *builder) **int { return &b.group.Count }),
		"cpu":              number(func(b *builder) **int { return &b.task.Resources.CPU }),
		"memory":           number(func(b *builder) **int { return &b.task.Resources.MemoryMB }),
		"image":            func(b *builder, value string) error { b.task.Env = map[string]string{"IMAGE": value}; return nil },
		"max_parallel":     number(func(b *builder) **int { return &b.update().MaxParallel }),
		"stagger":          span(func(b *builder) **time.Duration { return &b.update().Stagger }),
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
		"reschedule_how":   word(func(b *builder) **string { return &b.rescheduling().DelayFunction }),
		"reschedule_max":   span(func(b *builder) **time.Duration { return &b.rescheduling().MaxDelay }),
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
		"where": func(b *builder, value string) error {
			key, want, found := strings.Cut(value, ":")
			if !found {
				return fmt.Errorf("say where=KEY:VALUE, of a node's metadata")
			}
			b.group.Constraints = append(b.group.Constraints, &structs.Constraint{LTarget: "${meta." + key + "}", RTarget: want, Operand: "="})
			return nil
		},
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
