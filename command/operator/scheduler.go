package operator

import (
	"context"
	"strconv"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

func schedulerGroup(s term.Streams) *cli.Command {
	return &cli.Command{Name: "scheduler", Usage: "see and change how the cluster schedules", Commands: []*cli.Command{
		getConfigVerb().Command(s), setConfigVerb().Command(s),
	}}
}

func getConfigVerb() connect.Verb {
	return connect.Verb{
		Name: "get-config", Usage: "show how the cluster schedules", Flags: view.FormatFlags(),
		Do: func(ctx context.Context, c *connect.Call) error {
			cfg, _, err := c.Client.SchedulerConfig(ctx, nil)
			if err != nil {
				return term.Fail("Error querying scheduler configuration: %v", err)
			}
			if done, err := view.Formatted(c.Command, c.Streams, cfg); done {
				return err
			}
			c.Printf("%s", view.Keys([]view.Pair{
				{Key: "Scheduler Algorithm", Value: cfg.SchedulerAlgorithm},
				{Key: "Memory Oversubscription", Value: view.Bool(cfg.MemoryOversubscriptionEnabled)},
				{Key: "Reject Job Registration", Value: view.Bool(cfg.RejectJobRegistration)},
				{Key: "Pause Eval Broker", Value: view.Bool(cfg.PauseEvalBroker)},
				{Key: "Preemption System Scheduler", Value: view.Bool(cfg.PreemptionConfig.SystemSchedulerEnabled)},
				{Key: "Preemption Service Scheduler", Value: view.Bool(cfg.PreemptionConfig.ServiceSchedulerEnabled)},
				{Key: "Preemption Batch Scheduler", Value: view.Bool(cfg.PreemptionConfig.BatchSchedulerEnabled)},
				{Key: "Preemption SysBatch Scheduler", Value: view.Bool(cfg.PreemptionConfig.SysBatchSchedulerEnabled)},
				{Key: "Node Limit For Feasibility Checks", Value: strconv.FormatUint(uint64(cfg.NodeLimitForFeasibilityChecks), 10)},
				{Key: "Modify Index", Value: strconv.FormatUint(cfg.ModifyIndex, 10)},
			}))
			return nil
		},
	}
}

// switches are the settings that are on or off, by flag.
var switches = []struct {
	name, usage string
	of          func(*structs.SchedulerConfiguration) *bool
}{
	{"memory-oversubscription", "let tasks use more memory than is reserved for them, up to memory_max", func(c *structs.SchedulerConfiguration) *bool { return &c.MemoryOversubscriptionEnabled }},
	{"reject-job-registration", "refuse to register or scale jobs", func(c *structs.SchedulerConfiguration) *bool { return &c.RejectJobRegistration }},
	{"pause-eval-broker", "schedule nothing until it is set to false again", func(c *structs.SchedulerConfiguration) *bool { return &c.PauseEvalBroker }},
	{"preempt-batch-scheduler", "let batch jobs displace work of lower priority", func(c *structs.SchedulerConfiguration) *bool { return &c.PreemptionConfig.BatchSchedulerEnabled }},
	{"preempt-service-scheduler", "let service jobs displace work of lower priority", func(c *structs.SchedulerConfiguration) *bool { return &c.PreemptionConfig.ServiceSchedulerEnabled }},
	{"preempt-sysbatch-scheduler", "let sysbatch jobs displace work of lower priority", func(c *structs.SchedulerConfiguration) *bool { return &c.PreemptionConfig.SysBatchSchedulerEnabled }},
	{"preempt-system-scheduler", "let system jobs displace work of lower priority", func(c *structs.SchedulerConfiguration) *bool { return &c.PreemptionConfig.SystemSchedulerEnabled }},
}

func setConfigVerb() connect.Verb {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "check-index", Usage: "change it only if its modify index is still this `number`"},
		&cli.StringFlag{Name: "scheduler-algorithm", Usage: "`binpack` or spread"},
		&cli.IntFlag{Name: "node-limit-for-feasibility-checks", Usage: "kept for those who set it: every node is considered (`number`)"},
	}
	for _, s := range switches {
		flags = append(flags, &cli.BoolFlag{Name: s.name, Usage: s.usage})
	}
	return connect.Verb{
		Name: "set-config", Usage: "change how the cluster schedules",
		Help:  "What no flag names stays as it is.",
		Flags: flags, Do: setConfig,
	}
}

func setConfig(ctx context.Context, c *connect.Call) error {
	cfg, _, err := c.Client.SchedulerConfig(ctx, nil)
	if err != nil {
		return term.Fail("Error querying scheduler configuration: %v", err)
	}
	// What was read must not have changed in the meantime, or it would be
	// changed back.
	check, asked := cfg.ModifyIndex, c.String("check-index")
	if asked != "" {
		if check, err = strconv.ParseUint(asked, 10, 64); err != nil {
			return term.Fail("Error parsing check-index value %q: give the Modify Index that get-config shows", asked)
		}
	}
	if c.IsSet("scheduler-algorithm") {
		switch cfg.SchedulerAlgorithm = c.String("scheduler-algorithm"); cfg.SchedulerAlgorithm {
		case structs.SchedulerBinPack, structs.SchedulerSpread:
		default:
			return term.Fail("Error setting scheduler configuration: scheduler algorithm %q is unknown: use %s or %s",
				cfg.SchedulerAlgorithm, structs.SchedulerBinPack, structs.SchedulerSpread)
		}
	}
	for _, s := range switches {
		if c.IsSet(s.name) {
			*s.of(cfg) = c.Bool(s.name)
		}
	}
	if c.IsSet("node-limit-for-feasibility-checks") {
		limit := c.Int("node-limit-for-feasibility-checks")
		if limit < 0 {
			return term.Fail("Error setting scheduler configuration: a limit of %d nodes is negative", limit)
		}
		cfg.NodeLimitForFeasibilityChecks = uint(limit)
	}
	updated, err := c.Client.SetSchedulerConfig(ctx, cfg, &check)
	if err != nil {
		return term.Fail("Error setting scheduler configuration: %v", err)
	}
	if !updated {
		return term.Fail("Error performing check index set: the configuration is not at index %d any more, nothing was changed. "+
			"See 'steppe operator scheduler get-config' and try again", check)
	}
	c.Printf("Scheduler configuration updated!\n")
	return nil
}
