package control

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steppe-run/steppe/server/servertest"
	"github.com/steppe-run/steppe/structs"
)

// settings changes the scheduler's configuration.
func (w *world) settings(change func(c *structs.SchedulerConfiguration)) *structs.SchedulerSetConfigurationResponse {
	w.t.Helper()
	cfg := *w.s.store.Snapshot().SchedulerConfig()
	change(&cfg)
	resp, err := w.s.SetSchedulerConfig(w.t.Context(), &SchedulerConfigRequest{Config: &cfg, CAS: true, CASIndex: cfg.ModifyIndex})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp
}

func TestAPausedBrokerSchedulesNothing(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("n1")
		w.settings(func(c *structs.SchedulerConfiguration) { c.PauseEvalBroker = true })
		w.register(servertest.Job("job", "service", 2))
		w.pass(5 * time.Minute)
		snap := w.s.store.Snapshot()
		if len(w.live(snap, "job")) > 0 {
			t.Fatal("a paused broker had a job placed")
		}
		// A new leader heeds it too.
		w.lead()
		w.pass(time.Minute)
		if len(w.live(w.s.store.Snapshot(), "job")) > 0 {
			t.Fatal("the next leader had a job placed")
		}
		w.settings(func(c *structs.SchedulerConfiguration) { c.PauseEvalBroker = false })
		w.until(time.Minute, "the job runs", w.running("job", 2))
	})
}

func TestRejectedRegistrations(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("n1")
		w.register(servertest.Job("old", "service", 1))
		w.until(time.Minute, "the job runs", w.running("old", 1))
		w.settings(func(c *structs.SchedulerConfiguration) { c.RejectJobRegistration = true })
		_, err := w.s.RegisterJob(t.Context(), &structs.JobRegisterRequest{Job: servertest.Job("new", "service", 1)})
		if !errors.Is(err, structs.ErrRegistrationDisabled) {
			t.Fatalf("registered: %v", err)
		}
		if _, err := w.s.ScaleJob(t.Context(), "old", scaling(2)); !errors.Is(err, structs.ErrRegistrationDisabled) {
			t.Fatalf("scaled: %v", err)
		}
		w.settings(func(c *structs.SchedulerConfiguration) { c.RejectJobRegistration = false })
		w.register(servertest.Job("new", "service", 1))
	})
}

// oneByOne registers jobs of one allocation each and returns how many nodes
// they use.
func (w *world) oneByOne(prefix, pool string, n int) int {
	on := map[string]bool{}
	for i := range n {
		job := servertest.Job(fmt.Sprint(prefix, i), "service", 1)
		job.NodePool = &pool
		w.register(job)
		w.until(time.Minute, "the job runs", w.running(*job.ID, 1))
		w.pass(time.Minute) // whatever is counted as starting has started
		on[w.live(w.s.store.Snapshot(), *job.ID)[0].NodeID] = true
	}
	return len(on)
}

func TestTheAlgorithmApplies(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		for i := range 4 {
			w.addNode(fmt.Sprint("n", i))
		}
		if n := w.oneByOne("packed", "default", 4); n != 1 {
			t.Errorf("binpack used %d nodes for 4 jobs", n)
		}
		w.settings(func(c *structs.SchedulerConfiguration) { c.SchedulerAlgorithm = structs.SchedulerSpread })
		if n := w.oneByOne("spread", "default", 3); n != 3 {
			t.Errorf("spread used %d nodes for 3 jobs", n)
		}
		if _, err := w.s.UpsertNodePool(t.Context(), &structs.NodePool{
			Name:                   "default-packed",
			SchedulerConfiguration: &structs.NodePoolSchedulerConfiguration{SchedulerAlgorithm: structs.SchedulerBinPack},
		}); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			w.addNodeIn(fmt.Sprint("p", i), "default-packed")
		}
		if n := w.oneByOne("pool", "default-packed", 3); n != 1 {
			t.Errorf("a pool that packs used %d nodes for 3 jobs", n)
		}
	})
}

func TestAConfigurationIsComparedAndSet(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		if !w.settings(func(c *structs.SchedulerConfiguration) { c.MemoryOversubscriptionEnabled = true }).Updated {
			t.Fatal("not updated at its index")
		}
		resp, err := w.s.SetSchedulerConfig(t.Context(), &SchedulerConfigRequest{Config: &structs.SchedulerConfiguration{}, CAS: true, CASIndex: 99})
		if err != nil || resp.Updated {
			t.Fatalf("updated at another index: %+v %v", resp, err)
		}
		if !w.s.store.Snapshot().SchedulerConfig().MemoryOversubscriptionEnabled {
			t.Fatal("a refused change changed something")
		}
	})
}

func TestARegionBeginsAsConfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := &structs.SchedulerConfiguration{SchedulerAlgorithm: structs.SchedulerSpread, PauseEvalBroker: true}
		w := newWorld(t, Config{DefaultSchedulerConfig: first})
		w.addNode("n1")
		w.register(servertest.Job("job", "service", 1))
		w.pass(time.Minute)
		snap := w.s.store.Snapshot()
		if cfg := snap.SchedulerConfig(); cfg.SchedulerAlgorithm != structs.SchedulerSpread || len(w.live(snap, "job")) > 0 {
			t.Errorf("%+v, %d placed", cfg, len(w.live(snap, "job")))
		}
		w.settings(func(c *structs.SchedulerConfiguration) { c.PauseEvalBroker = false })
		w.lead() // what users set stays
		w.until(time.Minute, "the job runs", w.running("job", 1))
		w.end()
	})
}
