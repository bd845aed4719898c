package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/steppe-run/steppe/internal/testx"
)

const everything = `
server {
  enabled          = true
  bootstrap_expect = 1
}
client {
  enabled                  = true
  gc_disk_usage_threshold  = 100
  gc_inode_usage_threshold = 100
}
`

func ptr[T any](v T) *T { return &v }

// demoJob runs the demo service.
func demoJob(id string, count int) *api.Job {
	job := api.NewServiceJob(id, id, "global", 50)
	group := api.NewTaskGroup("web", count)
	group.Networks = []*api.NetworkResource{{DynamicPorts: []api.Port{{Label: "http"}}}}
	group.Services = []*api.Service{{
		Name: id, PortLabel: "http", Provider: "nomad",
		Checks: []api.ServiceCheck{{
			Type: "http", Path: "/health", Interval: time.Second, Timeout: 5 * time.Second, // the machine may be busy
			CheckRestart: &api.CheckRestart{Limit: 2, Grace: ptr(time.Second)},
		}},
	}}
	group.Update = &api.UpdateStrategy{MinHealthyTime: ptr(time.Second), HealthyDeadline: ptr(30 * time.Second), ProgressDeadline: ptr(time.Minute)}
	group.RestartPolicy = &api.RestartPolicy{Attempts: ptr(1), Interval: ptr(10 * time.Minute), Delay: ptr(time.Second), Mode: ptr("fail")}
	group.ReschedulePolicy = &api.ReschedulePolicy{Delay: ptr(5 * time.Second), DelayFunction: ptr("constant"), Unlimited: ptr(true), MaxDelay: ptr(time.Minute), Attempts: ptr(0), Interval: ptr(time.Duration(0))}
	task := api.NewTask("web", "raw_exec")
	task.Config = map[string]any{"command": binary, "args": []string{"demo-service"}}
	task.Resources = &api.Resources{CPU: ptr(20), MemoryMB: ptr(20)}
	group.AddTask(task)
	return job.AddTaskGroup(group)
}

// sleepJob runs a command that does nothing for a long time.
func sleepJob(id string, count int) *api.Job {
	job := api.NewServiceJob(id, id, "global", 50)
	group := api.NewTaskGroup("main", count)
	group.Update = &api.UpdateStrategy{HealthCheck: ptr("task_states"), MinHealthyTime: ptr(200 * time.Millisecond)}
	group.RestartPolicy = &api.RestartPolicy{Attempts: ptr(3), Interval: ptr(10 * time.Minute), Delay: ptr(time.Second), Mode: ptr("fail")}
	task := api.NewTask("sleep", "raw_exec")
	task.Config = map[string]any{"command": "/bin/sleep", "args": []string{"3600"}}
	task.Resources = &api.Resources{CPU: ptr(20), MemoryMB: ptr(20)}
	group.AddTask(task)
	return job.AddTaskGroup(group)
}

func register(t *testing.T, a *agent, job *api.Job) {
	t.Helper()
	if _, _, err := a.client().Jobs().Register(job, nil); err != nil {
		t.Fatalf("register %s: %v", *job.ID, err)
	}
}

// running returns the job's running allocations.
func running(t *testing.T, a *agent, job string) []*api.AllocationListStub {
	t.Helper()
	allocs, _, err := a.client().Jobs().Allocations(job, false, nil)
	if err != nil {
		t.Logf("list allocations: %v", err)
		return nil
	}
	var out []*api.AllocationListStub
	for _, alloc := range allocs {
		if alloc.ClientStatus == api.AllocClientStatusRunning && alloc.DesiredStatus == api.AllocDesiredStatusRun {
			out = append(out, alloc)
		}
	}
	return out
}

func awaitRunning(t *testing.T, a *agent, job string, count int, within time.Duration) []*api.AllocationListStub {
	t.Helper()
	var allocs []*api.AllocationListStub
	testx.Eventually(t, within, fmt.Sprintf("%d allocations of %s run", count, job), func() bool {
		allocs = running(t, a, job)
		return len(allocs) == count
	})
	return allocs
}

func awaitHealthy(t *testing.T, a *agent, job string, within time.Duration) {
	t.Helper()
	testx.Eventually(t, within, "the deployment of "+job+" is successful", func() bool {
		d, _, err := a.client().Jobs().LatestDeployment(job, nil)
		return err == nil && d != nil && d.Status == api.DeploymentStatusSuccessful
	})
}

// addressOf is the address of an allocation's port "http".
func addressOf(t *testing.T, a *agent, id string) string {
	t.Helper()
	alloc, _, err := a.client().Allocations().Info(id, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range alloc.AllocatedResources.Shared.Ports {
		if p.Label == "http" {
			return fmt.Sprintf("http://%s:%d", p.HostIP, p.Value)
		}
	}
	t.Fatalf("allocation %s has no port http", id)
	return ""
}

func TestJobOfThePublishedClientRunsAndStops(t *testing.T) {
	a := newAgent(t, t.TempDir(), "one", "127.0.0.1", everything).start()
	a.awaitLeader()
	a.awaitNodes(1)
	register(t, a, demoJob("hello", 3))
	awaitHealthy(t, a, "hello", 30*time.Second)
	services, _, err := a.client().Services().Get("hello", nil)
	if err != nil || len(services) != 3 {
		t.Fatalf("services %v, %v", services, err)
	}
	for _, s := range services {
		if code, err := httpGet(fmt.Sprintf("http://%s:%d/", s.Address, s.Port)); err != nil || code != 200 {
			t.Errorf("page of %s: %d, %v", s.AllocID, code, err)
		}
	}
	if _, _, err := a.client().Jobs().Deregister("hello", false, nil); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, 20*time.Second, "everything has stopped", func() bool {
		services, _, err := a.client().Services().Get("hello", nil)
		return err == nil && len(services) == 0 && len(running(t, a, "hello")) == 0
	})
	if err := a.stop(); err != nil {
		t.Errorf("the agent ended with %v", err)
	}
}

func TestCrashIsRestartedThenRescheduled(t *testing.T) {
	a := newAgent(t, t.TempDir(), "one", "127.0.0.1", everything).start()
	a.awaitLeader()
	a.awaitNodes(1)
	register(t, a, demoJob("hello", 2))
	awaitHealthy(t, a, "hello", 30*time.Second)
	allocs := awaitRunning(t, a, "hello", 2, 5*time.Second)
	victim, bystander := allocs[0].ID, allocs[1].ID
	crash := func() { _, _ = httpGet(addressOf(t, a, victim) + "/crash") } // its answer may be cut off
	crash()
	testx.Eventually(t, 20*time.Second, "the task was restarted", func() bool {
		alloc, _, err := a.client().Allocations().Info(victim, nil)
		return err == nil && alloc.TaskStates["web"].Restarts == 1 && alloc.TaskStates["web"].State == "running"
	})
	testx.Eventually(t, 10*time.Second, "it answers again", func() bool {
		code, err := httpGet(addressOf(t, a, victim) + "/health")
		return err == nil && code == 200
	})
	crash()
	testx.Eventually(t, 40*time.Second, "the allocation was replaced", func() bool {
		alloc, _, err := a.client().Allocations().Info(victim, nil)
		return err == nil && alloc.ClientStatus == api.AllocClientStatusFailed && alloc.NextAllocation != "" && len(running(t, a, "hello")) == 2
	})
	alloc, _, err := a.client().Allocations().Info(bystander, nil)
	if err != nil || alloc.ClientStatus != api.AllocClientStatusRunning || alloc.TaskStates["web"].Restarts != 0 {
		t.Errorf("the other instance was touched: %+v, %v", alloc.TaskStates, err)
	}
}

func TestBatchRunsToCompletion(t *testing.T) {
	a := newAgent(t, t.TempDir(), "one", "127.0.0.1", everything).start()
	a.awaitLeader()
	a.awaitNodes(1)
	job := api.NewBatchJob("once", "once", "global", 50)
	group := api.NewTaskGroup("main", 20)
	task := api.NewTask("true", "raw_exec")
	task.Config = map[string]any{"command": "/bin/sh", "args": []string{"-c", "echo out of $NOMAD_ALLOC_INDEX; echo err >&2"}}
	task.Resources = &api.Resources{CPU: ptr(10), MemoryMB: ptr(10)}
	job.AddTaskGroup(group.AddTask(task))
	register(t, a, job)
	testx.Eventually(t, 30*time.Second, "all 20 are complete", func() bool {
		s, _, err := a.client().Jobs().Summary("once", nil)
		return err == nil && s.Summary["main"].Complete == 20
	})
	info, _, err := a.client().Jobs().Info("once", nil)
	if err != nil || *info.Status != "dead" {
		t.Errorf("status %v, %v", *info.Status, err)
	}
	allocs, _, err := a.client().Jobs().Allocations("once", false, nil)
	if err != nil || len(allocs) != 20 {
		t.Fatalf("%d allocations, %v", len(allocs), err)
	}
	out, code := a.cli("alloc", "logs", allocs[0].ID)
	if code != 0 || !strings.HasPrefix(out, "out of ") {
		t.Errorf("logs %d %q", code, out)
	}
}
