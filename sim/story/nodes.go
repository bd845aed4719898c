package story

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/steppe-run/steppe/client"
	"github.com/steppe-run/steppe/server/control"
	"github.com/steppe-run/steppe/sim/node"
	"github.com/steppe-run/steppe/structs"
)

// nodeVerbs are what people do with nodes, and how they have the region
// schedule.
func nodeVerbs() []verb {
	out := []verb{
		{form: "drain of NAME ends", do: func(p *Play, args []string) error { return p.drain(args[0], nil, true) }},
		{form: "drain of NAME is cancelled", do: func(p *Play, args []string) error { return p.drain(args[0], nil, false) }},
		{form: "NAME is eligible", do: func(p *Play, args []string) error { return p.eligible(args[0], structs.NodeEligible) }},
		{form: "NAME is ineligible", do: func(p *Play, args []string) error { return p.eligible(args[0], structs.NodeIneligible) }},
		{form: "NAME joins like OTHER", do: func(p *Play, args []string) error { return p.joinLike(args[0], args[1]) }},
		{form: "NAME joins ...", do: func(p *Play, args []string) error {
			meta, err := metaOf(args[1:])
			if err != nil {
				return err
			}
			if err := p.unknown(args[0]); err != nil {
				return err
			}
			return p.addNode(args[0], meta)
		}, check: func(args []string) error {
			if !strings.HasPrefix(args[0], "node-") {
				return fmt.Errorf("what joins is called node-…, not %q", args[0])
			}
			_, err := metaOf(args[1:])
			return err
		}},
		{form: "NAME has ...", do: func(p *Play, args []string) error {
			n, err := p.node(args[0])
			if err != nil {
				return err
			}
			meta, err := metaOf(args[1:])
			if err != nil {
				return err
			}
			return n.SetMeta(meta)
		}, check: func(args []string) error {
			_, err := metaOf(args[1:])
			return err
		}},
		{form: "the brake is released", do: func(p *Play, _ []string) error {
			return p.ask(func(ctx context.Context, on *control.Control) error {
				_, _, err := on.ReleaseBrake(ctx)
				return err
			})
		}},
		{form: "preemption of KIND jobs is on", do: func(p *Play, args []string) error { return p.preemption(args[0], true) }},
		{form: "preemption of KIND jobs is off", do: func(p *Play, args []string) error { return p.preemption(args[0], false) }},
	}
	return append(out, drainVerbs()...)
}

// drainVerbs are the ways to drain a node, each with its system jobs or without.
func drainVerbs() []verb {
	var out []verb
	for _, leaves := range []bool{false, true} {
		with := ""
		if leaves {
			with = " leaving system jobs"
		}
		drain := func(deadline func(args []string) (time.Duration, error)) func(p *Play, args []string) error {
			return func(p *Play, args []string) error {
				d, err := deadline(args)
				if err != nil {
					return err
				}
				return p.drain(args[0], &structs.DrainSpec{Deadline: d, IgnoreSystemJobs: leaves}, false)
			}
		}
		out = append(out,
			verb{form: "drain NAME" + with, do: drain(func([]string) (time.Duration, error) { return 0, nil })},
			verb{form: "drain NAME now" + with, do: drain(func([]string) (time.Duration, error) { return -1, nil })},
			verb{form: "drain NAME within TIME" + with, do: drain(func(args []string) (time.Duration, error) {
				return time.ParseDuration(args[1])
			}), check: durationAt(1)},
		)
	}
	return out
}

// unknown refuses the name of a node that there is.
func (p *Play) unknown(name string) error {
	if _, err := p.node(name); err == nil || isServer(name) {
		return fmt.Errorf("%s is there already", name)
	}
	return nil
}

// joinLike adds a node that is as another one was described last.
func (p *Play) joinLike(name, other string) error {
	if err := p.unknown(name); err != nil {
		return err
	}
	like, err := p.node(other)
	if err != nil {
		return err
	}
	snap := p.cluster.Snapshot()
	if snap == nil || snap.Node(like.ID()) == nil {
		return fmt.Errorf("%s has not been described yet", other)
	}
	n := snap.Node(like.ID()).Clone()
	n.ID, n.SecretID, n.Name = p.cluster.NewID(), p.cluster.NewID(), name
	n.SchedulingEligibility = structs.NodeEligible
	_, err = p.cluster.AddNode(node.Config{Name: name, Before: &node.Before{Node: n}, Client: client.Config{Meta: n.Meta}})
	return err
}

// metaOf reads "KEY=VALUE …".
func metaOf(words []string) (map[string]string, error) {
	meta := map[string]string{}
	for _, word := range words {
		key, value, given := strings.Cut(word, "=")
		if !given || key == "" {
			return nil, fmt.Errorf("%q is not KEY=VALUE", word)
		}
		meta[key] = value
	}
	return meta, nil
}

func (p *Play) drain(name string, spec *structs.DrainSpec, eligible bool) error {
	n, err := p.node(name)
	if err != nil {
		return err
	}
	p.result.Faults["drain"]++
	return p.ask(func(ctx context.Context, on *control.Control) error {
		_, err := on.DrainNode(ctx, &structs.NodeUpdateDrainRequest{NodeID: n.ID(), DrainSpec: spec, MarkEligible: eligible})
		return err
	})
}

func (p *Play) eligible(name, eligibility string) error {
	n, err := p.node(name)
	if err != nil {
		return err
	}
	return p.ask(func(ctx context.Context, on *control.Control) error {
		_, err := on.SetNodeEligibility(ctx, &structs.NodeUpdateEligibilityRequest{NodeID: n.ID(), Eligibility: eligibility})
		return err
	})
}

// preemption says whether jobs of a kind may take the place of less important
// ones.
func (p *Play) preemption(kind string, on bool) error {
	return p.ask(func(ctx context.Context, c *control.Control) error {
		cfg := *c.Store().Snapshot().SchedulerConfig()
		switch kind {
		case structs.JobTypeService:
			cfg.PreemptionConfig.ServiceSchedulerEnabled = on
		case structs.JobTypeBatch:
			cfg.PreemptionConfig.BatchSchedulerEnabled = on
		case structs.JobTypeSystem:
			cfg.PreemptionConfig.SystemSchedulerEnabled = on
		case structs.JobTypeSysBatch:
			cfg.PreemptionConfig.SysBatchSchedulerEnabled = on
		default:
			return fmt.Errorf("there are no %s jobs: say service, batch, system or sysbatch", kind)
		}
		_, err := c.SetSchedulerConfig(ctx, &control.SchedulerConfigRequest{Config: &cfg})
		return err
	})
}
