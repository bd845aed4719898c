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
		{form: "stop NAME", job: true, do: func(p *Play, args []string) error { return p.stop(args[0], false) }},
		{form: "purge NAME", job: true, do: func(p *Play, args []string) error { return p.stop(args[0], true) }},
		{form: "scale NAME to N", job: true, do: func(p *Play, args []string) error { return p.scale(args[0], "g", args[1]) }, check: numberAt(1)},
		{form: "scale NAME group GROUP to N", job: true, do: func(p *Play, args []string) error { return p.scale(args[0], args[1], args[2]) }, check: numberAt(2)},
		{form: "revert NAME to N", job: true, do: doRevert, check: numberAt(1)},
		{form: "tag NAME version N as TAG", job: true, do: func(p *Play, args []string) error {
			version, err := strconv.ParseUint(args[1], 10, 64)
			if err != nil {
				return err
			}
			return p.tag(&control.JobTagRequest{JobID: args[0], Version: &version, Name: args[2]})
		}, check: numberAt(1)},
		{form: "untag NAME TAG", job: true, do: func(p *Play, args []string) error {
			return p.tag(&control.JobTagRequest{JobID: args[0], Name: args[1], Remove: true})
		}},
		{form: "evaluate NAME", job: true, do: doEvaluate},
		{form: "stop an allocation of NAME", job: true, do: doStopAlloc},
		{form: "promote NAME", job: true, do: onDeployment(func(ctx context.Context, on *control.Control, id string) error {
			_, err := on.PromoteDeployment(ctx, &structs.DeploymentPromoteRequest{DeploymentID: id, All: true})
			return err
		})},
		{form: "fail NAME", job: true, do: onDeployment(func(ctx context.Context, on *control.Control, id string) error {
			_, err := on.FailDeployment(ctx, &structs.DeploymentFailRequest{DeploymentID: id})
			return err
		})},
		{form: "pause NAME", job: true, do: onDeployment(pause(true))},
		{form: "resume NAME", job: true, do: onDeployment(pause(false))},
		{form: "collect garbage", do: func(p *Play, _ []string) error {
			p.collected = true
			return p.ask(func(ctx context.Context, on *control.Control) error { return on.GC(ctx) })
		}},
		{form: "wait TIME", do: func(p *Play, args []string) error {
			d, err := time.ParseDuration(args[0])
			p.pass(d)
			return err
		}, check: durationAt(0)},
	}
}

func numberAt(i int) func(args []string) error {
	return func(args []string) error {
		if _, err := strconv.Atoi(args[i]); err != nil {
			return fmt.Errorf("%q is no number", args[i])
		}
		return nil
	}
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

func (p *Play) scale(job, group, count string) error {
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil {
		return err
	}
	return p.ask(func(ctx context.Context, on *control.Control) error {
		_, err := on.ScaleJob(ctx, job, &structs.ScalingRequest{
			Target: map[string]string{"Group": group}, Count: &n, WriteRequest: structs.WriteRequest{Namespace: ns},
		})
		return err
	})
}

func (p *Play) tag(r *control.JobTagRequest) error {
	r.Namespace = ns
	return p.ask(func(ctx context.Context, on *control.Control) error {
		_, err := on.TagJobVersion(ctx, r)
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
