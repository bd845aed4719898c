package story

import (
	"fmt"
	"testing"
	"time"
)

// deployment plays the update of a service whose tasks are healthy at once, and
// returns how long it took and how much of that were its own timers: in each
// round min_healthy_time.
func deployment(t testing.TB, nodes, count, parallel int) (took, timers time.Duration) {
	t.Helper()
	const healthy = 10 * time.Second
	job := fmt.Sprintf("job web service count=%d cpu=20 memory=20 max_parallel=%d min_healthy=%s", count, parallel, healthy)
	s, err := Parse(fmt.Sprintf(`a cluster of 3 servers and %d nodes of 4000 MHz and 4000 MB
%s image=a
expect web deployment successful within 10m
%s image=b
expect web version 1 on all within 20m
expect web deployment successful within 1m`, nodes, job, job))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(s, Options{})
	if err != nil || r.Broken() {
		t.Fatal(r, err)
	}
	d := r.Last.LatestDeployment(ns, "web")
	return time.Duration(d.ModifyTime - d.CreateTime), time.Duration(count/parallel) * healthy
}

func TestADeploymentTakesLittleMoreThanItsTimers(t *testing.T) {
	took, timers := deployment(t, 10, 100, 5)
	if took < timers || took > timers+timers/20 {
		t.Errorf("20 rounds took %s, their timers %s", took, timers)
	}
}

// BenchmarkDeployment is the update of a service of 1,000, 50 at a time.
func BenchmarkDeployment(b *testing.B) {
	for b.Loop() {
		took, timers := deployment(b, 50, 1000, 50)
		b.ReportMetric(took.Seconds(), "cluster-s")
		b.ReportMetric(100*(took-timers).Seconds()/timers.Seconds(), "%over")
	}
}
