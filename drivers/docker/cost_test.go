//go:build linux

package docker_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// The engine alone and the driver take turns, so that the machine's load is the
// same for both. What is asserted leaves room for a busy machine; the figure is
// printed.
func TestAStartCostsLittleMoreThanTheEngines(t *testing.T) {
	w := newWorld(t, pluginBlock())
	var bare, ours, more []time.Duration
	for range 7 {
		task := w.task(with(nil))
		begun := time.Now()
		made, err := w.engine.ContainerCreate(t.Context(), client.ContainerCreateOptions{
			Config:     &container.Config{Image: image, Cmd: []string{"sh", "-c", "sleep 60"}},
			HostConfig: &container.HostConfig{Binds: []string{task.TaskDir() + "/local:/local", task.TaskDir() + "/secrets:/secrets", task.AllocDir + "/alloc:/alloc"}},
		})
		if err == nil {
			_, err = w.engine.ContainerStart(t.Context(), made.ID, client.ContainerStartOptions{})
		}
		engine := time.Since(begun)
		_, _ = w.engine.ContainerRemove(context.Background(), made.ID, client.ContainerRemoveOptions{Force: true})
		if err != nil {
			t.Fatal(err)
		}
		begun = time.Now()
		if _, err := w.driver.Start(t.Context(), task); err != nil {
			t.Fatal(err)
		}
		driver := time.Since(begun)
		if err := w.driver.Destroy(t.Context(), task.ID, true); err != nil {
			t.Fatal(err)
		}
		bare, ours, more = append(bare, engine), append(ours, driver), append(more, driver-engine)
	}
	middle := func(all []time.Duration) time.Duration {
		slices.Sort(all)
		return all[len(all)/2].Round(time.Millisecond)
	}
	t.Logf("start of a container: the engine alone %s, the driver %s, the driver's own part %s (medians of %d)", middle(bare), middle(ours), middle(more), len(more))
	if own := middle(more); own > 50*time.Millisecond && own > middle(bare)/2 {
		t.Errorf("a start costs %s more than the engine's own %s", own, middle(bare))
	}
}
