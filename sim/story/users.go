package story

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/steppe-run/steppe/server/control"
	"github.com/steppe-run/steppe/structs"
)

const ns = structs.DefaultNamespace

// userVerbs are what users do.
func userVerbs() []verb {
	return []verb{
		{form: "job NAME KIND ...", do: doJob, check: func(args []string) error {
			_, err := jobOf(append([]string{"job"}, args...))
			return err
		}},
		{form: "stop NAME", do: func(p *Play, args []string) error { return p.stop(args[0], false) }},
		{form: "purge NAME", do: func(p *Play, args []string) error { return p.stop(args[0], true) }},
		{form: "scale NAME to N", do: doScale, check: secondIsNumber},
		{form: "revert NAME to N", do: doRevert, check: secondIsNumber},
		{form: "evaluate NAME", do: doEvaluate},
		{form: "stop an allocation of NAME", do: doStopAlloc},
		{form: "promote NAME", do: onDeployment(func(ctx context.Context, on *control.Control, id string) error {
			_, err := on.PromoteDeployment(ctx, &structs.DeploymentPromoteRequest{DeploymentID: id, All: true})
			return err
		})},
		{form: "fail NAME", do: onDeployment(func(ctx context.Context, on *control.Control, id string) error {
			_, err := on.FailDeployment(ctx, &structs.DeploymentFailRequest{DeploymentID: id})
			return err
		})},
		{form: "pause NAME", do: onDeployment(pause(true))},
		{form: "resume NAME", do: onDeployment(pause(false))},
		{form: "drain NAME", do: func(p *Play, args []string) error { return p.drain(args[0], &structs.DrainSpec{}) }},
		{form: "drain NAME within TIME", do: func(p *Play, args []string) error {
			d, err := time.ParseDuration(args[1])
			if err != nil {
				return err
			}
			return p.drain(args[0], &structs.DrainSpec{Deadline: d})
		}, check: durationAt(1)},
		{form: "drain NAME now", do: func(p *Play, args []string) error { return p.drain(args[0], &structs.DrainSpec{Deadline: -1}) }},
		{form: "drain of NAME ends", do: func(p *Play, args []string) error { return p.drain(args[0], nil) }},
		{form: "NAME is eligible", do: func(p *Play, args []string) error { return p.eligible(args[0], structs.NodeEligible) }},
		{form: "NAME is ineligible", do: func(p *Play, args []string) error { return p.eligible(args[0], structs.NodeIneligible) }},
		{form: "collect garbage", do: func(p *Play, _ []string) error {
			return p.ask(func(ctx context.Context, on *control.Control) error { return on.GC(ctx) })
		}},
		{form: "wait TIME", do: func(p *Play, args []string) error {
			d, err := time.ParseDuration(args[0])
			p.cluster.Pass(d)
			return err
		}, check: durationAt(0)},
	}
}

func secondIsNumber(args []string) error {
	if _, err := strconv.Atoi(args[1]); err != nil {
		return fmt.Errorf("%q is no number", args[1])
	}
	return nil
}

func durationAt(i int) func(args []string) error {
	return func(args []string) error {
		if _, err := time.ParseDuration(args[i]); err != nil {
			return fmt.Errorf("%q is no time such as 10s or 2m30s", args[i])
		}
		return nil
	}
}

func doJob(p *Play, args []string) error {
	job, err := jobOf(append([]string{"job"}, args...))
	if err != nil {
		return err
	}
	return p.ask(func(ctx context.Context, on *control.Control) error {
		_, err := on.RegisterJob(ctx, &structs.JobRegisterRequest{Job: job.Clone()})
		return err
	})
}

func (p *Play) stop(name string, purge bool) error {
	return p.ask(func(ctx context.Context, on *control.Control) error {
		_, err := on.DeregisterJob(ctx, &control.JobDeregisterRequest{Namespace: ns, JobID: name, Purge: purge})
		return err
	})
}

func doScale(p *Play, args []string) error {
	n, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	return p.ask(func(ctx context.Context, on *control.Control) error {
		_, err := on.ScaleJob(ctx, args[0], &structs.ScalingRequest{
			Target: map[string]string{"Group": "g"}, Count: &n, WriteRequest: structs.WriteRequest{Namespace: ns},
		})
		return err
	})
}

func doRevert(p *Play, args []string) error {
	version, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return err
	}
	return p.ask(func(ctx context.Context, on *control.Control) error {
		_, err := on.RevertJob(ctx, &structs.JobRevertRequest{JobID: args[0], JobVersion: version, WriteRequest: structs.WriteRequest{Namespace: ns}})
		return err
	})
}

func doEvaluate(p *Play, args []string) error {
	return p.ask(func(ctx context.Context, on *control.Control) error {
		_, err := on.EvaluateJob(ctx, &structs.JobEvaluateRequest{JobID: args[0], WriteRequest: structs.WriteRequest{Namespace: ns}})
		return err
	})
}

func doStopAlloc(p *Play, args []string) error {
	return p.ask(func(ctx context.Context, on *control.Control) error {
		for a := range on.Store().Snapshot().AllocsByJob(ns, args[0]) {
			if !a.TerminalStatus() {
				_, err := on.StopAlloc(ctx, &control.AllocStopRequest{AllocID: a.ID})
				return err
			}
		}
		return fmt.Errorf("job %s has no allocation that runs", args[0])
	})
}

func pause(on bool) func(ctx context.Context, c *control.Control, id string) error {
	return func(ctx context.Context, c *control.Control, id string) error {
		_, err := c.PauseDeployment(ctx, &structs.DeploymentPauseRequest{DeploymentID: id, Pause: on})
		return err
	}
}

func onDeployment(f func(ctx context.Context, on *control.Control, id string) error) func(*Play, []string) error {
	return func(p *Play, args []string) error {
		return p.ask(func(ctx context.Context, on *control.Control) error {
			d := on.Store().Snapshot().LatestDeployment(ns, args[0])
			if d == nil {
				return fmt.Errorf("job %s has no deployment", args[0])
			}
			return f(ctx, on, d.ID)
		})
	}
}

func (p *Play) drain(name string, spec *structs.DrainSpec) error {
	n, err := p.node(name)
	if err != nil {
		return err
	}
	p.result.Faults["drain"]++
	return p.ask(func(ctx context.Context, on *control.Control) error {
		_, err := on.DrainNode(ctx, &structs.NodeUpdateDrainRequest{NodeID: n.ID(), DrainSpec: spec, MarkEligible: spec == nil})
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
