package alloc

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steppe-run/steppe/client/service"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/structs"
)

// record is what happens to an allocation, in order, with the time since it began.
type record struct {
	mu    sync.Mutex
	began time.Time
	lines []string
}

func (r *record) note(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf("%s %s", time.Since(r.began).Round(time.Second), what))
}

// anew returns what was noted and begins again.
func (r *record) anew() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := strings.Join(r.lines, "\n")
	r.lines, r.began = nil, time.Now()
	return out
}

// catalogue notes what joins and leaves it.
type catalogue struct {
	*offers
	record *record
}

func (c catalogue) Add(w service.Workload) []error {
	c.record.note("join " + whose(w.Task))
	return c.offers.Add(w)
}

func (c catalogue) Remove(ctx context.Context, id, task string) {
	if _, offered := c.offered(task); offered {
		c.record.note("leave " + whose(task))
	}
	c.offers.Remove(ctx, id, task)
}

func whose(task string) string {
	if task == "" {
		return "group"
	}
	return task
}

// life is one allocation on virtual time, whose every step is recorded.
type life struct {
	*world
	*record
	alloc *structs.Allocation
	group *structs.TaskGroup
	run   *Runner
}

// live makes a group drawn as in parse; change alters it before it starts.
func live(t *testing.T, jobType, tasks string, change func(l *life)) *life {
	t.Helper()
	w := newWorld(t)
	l := &life{world: w, record: &record{began: time.Now()}}
	w.host.Task.Clock = clock.Real{}
	w.host.Services = catalogue{w.offers, l.record}
	w.driver.Tell(func(call string) {
		if !strings.HasPrefix(call, "destroy") { // of no interest here
			l.note(call)
		}
	})
	l.alloc = w.alloc("a1", jobType, strings.Fields(tasks)...)
	l.group = l.alloc.Job.TaskGroups[0]
	if change != nil {
		change(l)
	}
	l.run = w.start(l.alloc, nil)
	synctest.Wait()
	return l
}

func (l *life) task(name string) *structs.Task { return l.group.LookupTask(name) }

// serves gives a task, or the group (""), a service.
func (l *life) serves(names ...string) {
	for _, name := range names {
		s := []*structs.Service{{Name: "s" + name, Provider: structs.ServiceProviderNomad}}
		if name == "" {
			l.group.Services = s
			continue
		}
		l.task(name).Services = s
	}
}

// exit has a task end by itself.
func (l *life) exit(name string, code int) {
	l.t.Helper()
	if !l.driver.Exit("a1", name, code) {
		l.t.Fatalf("%s doesn't run", name)
	}
	synctest.Wait()
}

// pass lets time pass.
func (l *life) pass(d time.Duration) {
	<-clock.Real{}.NewTimer(d).C()
	synctest.Wait()
}

// over waits until every task is dead, and ends what is to clean up after the
// others by itself.
func (l *life) over() {
	l.t.Helper()
	const look = 100 * time.Millisecond
	for range 2 * time.Minute / look {
		select {
		case <-l.run.Done():
			l.note("over: " + l.run.Status().ClientStatus)
			return
		default:
		}
		l.driver.Exit("a1", "clean", 0)
		l.pass(look)
	}
	l.t.Fatalf("it doesn't end: %s", l.anew())
}

// saw compares what was recorded since it was asked last. What happens to several
// tasks in the same moment has no order; what happens to one of them has.
func (l *life) saw(when, want string) {
	l.t.Helper()
	if got, want := inOrder(l.anew()), inOrder(want); got != want {
		l.t.Errorf("%s:\n%s\nwanted:\n%s", when, got, want)
	}
}

// inOrder sorts lines of the same moment by the task they are about.
func inOrder(text string) string {
	var lines [][]string
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) > 0 {
			lines = append(lines, words)
		}
	}
	for i := range lines {
		for k := i; k > 0 && lines[k][0] == lines[k-1][0] && len(lines[k]) > 2 && len(lines[k-1]) > 2 && lines[k][2] < lines[k-1][2]; k-- {
			lines[k], lines[k-1] = lines[k-1], lines[k]
		}
	}
	var out []string
	for _, words := range lines {
		out = append(out, strings.Join(words, " "))
	}
	return strings.Join(out, "\n")
}

func TestTheOrderOfStopping(t *testing.T) {
	for _, c := range []struct {
		name, tasks string
		change      func(l *life)
		stop        func(a *structs.Allocation)
		want        string
	}{
		{
			name: "signal and patience", tasks: "web",
			change: func(l *life) {
				l.task("web").KillSignal, l.task("web").KillTimeout = "SIGTERM", p(20*time.Second)
				l.driver.Slow("web", 3*time.Second)
			},
			want: `0s stop web 20s SIGTERM
				3s over: complete`,
		},
		{
			name: "nothing is said: five seconds, then force", tasks: "web",
			change: func(l *life) { l.driver.Slow("web", time.Minute) },
			want: `0s stop web 5s
				5s over: complete`,
		},
		{
			name: "no more patience than the node has", tasks: "web",
			change: func(l *life) {
				l.task("web").KillTimeout = p(time.Hour)
				l.driver.Slow("web", time.Hour)
			},
			want: `0s stop web 30s
				30s over: complete`,
		},
		{
			name: "first the catalogue, then the delays, then the signal", tasks: "web log",
			change: func(l *life) {
				l.serves("", "web", "log")
				l.group.ShutdownDelay = p(5 * time.Second)
				l.task("web").ShutdownDelay = 3 * time.Second
			},
			want: `0s leave group
				5s leave log
				5s leave web
				5s stop log 5s
				8s stop web 5s
				8s over: complete`,
		},
		{
			name: "without delays, if the job was stopped so", tasks: "web",
			change: func(l *life) {
				l.serves("", "web")
				l.group.ShutdownDelay, l.task("web").ShutdownDelay = p(5*time.Second), 3*time.Second
			},
			stop: func(a *structs.Allocation) { a.DesiredTransition.NoShutdownDelay = p(true) },
			want: `0s leave group
				0s leave web
				0s stop web 5s
				0s over: complete`,
		},
		{
			name: "the leader before its followers", tasks: "web[leader] log proxy[pre+]",
			change: func(l *life) {
				l.driver.Slow("web", 4*time.Second)
				l.driver.Slow("log", time.Second)
				l.serves("web", "log")
				l.task("web").ShutdownDelay = 2 * time.Second
			},
			want: `0s leave web
				2s stop web 5s
				6s leave log
				6s stop log 5s
				6s stop proxy 5s
				7s over: complete`,
		},
		{
			name: "sidecars after those they serve, poststop at last", tasks: "proxy[pre+] web tail[post+] clean[stop]",
			change: func(l *life) {
				l.driver.Slow("web", 2*time.Second)
				l.driver.Slow("proxy", time.Second)
				l.serves("", "proxy")
			},
			want: `0s leave group
				0s stop web 5s
				2s leave proxy
				2s stop proxy 5s
				2s stop tail 5s
				3s start clean
				3s over: complete`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := live(t, "service", c.tasks, c.change)
				defer l.stops["a1"]()
				l.pass(10 * time.Second)
				l.anew()
				if err := l.run.Update(edited(stop(l.alloc), func(a *structs.Allocation) {
					if c.stop != nil {
						c.stop(a)
					}
				})); err != nil {
					t.Fatal(err)
				}
				l.over()
				l.saw("stopped", c.want)
			})
		})
	}
}

func TestTheOrderOfLife(t *testing.T) {
	for _, c := range []struct {
		name, kind, tasks string
		change            func(l *life)
		live              func(l *life)
	}{
		{
			name: "each in its turn", kind: "service", tasks: "init[pre] proxy[pre+] web note[post] tail[post+] clean[stop]",
			change: func(l *life) { l.serves("", "proxy", "web"); l.driver.Slow("tail", time.Second) },
			live: func(l *life) {
				l.saw("begun", "0s start init\n0s start proxy\n0s join proxy")
				l.pass(3 * time.Second)
				l.exit("init", 0)
				l.saw("prepared", "3s join group\n3s start note\n3s start tail\n3s start web\n3s join web")
				l.exit("note", 0)
				l.saw("a hook has done its work", "")
				l.exit("web", 1)
				l.over()
				l.saw("the main task failed", "0s leave group\n0s leave proxy\n0s stop proxy 5s\n0s stop tail 5s\n0s leave web\n1s start clean\n1s over: failed")
			},
		},
		{
			name: "a prestart task that fails ends it before it has begun", kind: "service", tasks: "init[pre] web clean[stop]",
			live: func(l *life) {
				l.exit("init", 1)
				l.over()
				l.saw("failed", "0s start init\n0s start clean\n0s over: failed")
			},
		},
		{
			name: "a sidecar goes on while its main task is restarted", kind: "service", tasks: "proxy[pre+] web",
			change: func(l *life) { l.restarts(2); l.serves("proxy", "web") },
			live: func(l *life) {
				l.anew()
				l.exit("web", 1)
				l.pass(5 * time.Second)
				l.saw("restarted", "0s leave web\n1s start web\n1s join web")
				l.exit("proxy", 1)
				l.pass(5 * time.Second)
				l.saw("and the main task while its sidecar is", "0s leave proxy\n1s start proxy\n1s join proxy")
			},
		},
		{
			name: "a sidecar that uses up its restarts ends all", kind: "service", tasks: "proxy[pre+] web",
			change: func(l *life) { l.serves("", "web"); l.driver.Slow("web", 2*time.Second) },
			live: func(l *life) {
				l.anew()
				l.exit("proxy", 1)
				l.over()
				l.saw("failed", "0s leave group\n0s leave web\n0s stop web 5s\n2s over: failed")
			},
		},
		{
			name: "a batch job's main task ends, then its sidecar, then what cleans up", kind: "batch", tasks: "proxy[pre+] sum clean[stop]",
			change: func(l *life) { l.serves("", "proxy"); l.driver.Slow("proxy", 2*time.Second) },
			live: func(l *life) {
				l.saw("begun", "0s start proxy\n0s join proxy\n0s join group\n0s start sum")
				l.exit("sum", 0)
				l.over()
				l.saw("done", "0s leave group\n0s leave proxy\n0s stop proxy 5s\n2s start clean\n2s over: complete")
			},
		},
		{
			name: "what has run for longer than it may", kind: "batch", tasks: "sum clean[stop]",
			change: func(l *life) {
				l.serves("")
				l.group.MaxRunDuration = p(time.Minute)
				l.driver.Slow("sum", 3*time.Second)
			},
			live: func(l *life) {
				l.over()
				l.saw("done", "0s join group\n0s start sum\n1m0s leave group\n1m0s stop sum 5s\n1m3s start clean\n1m3s over: failed")
			},
		},
		{
			name: "a leader that ends takes the others with it", kind: "batch", tasks: "sum[leader] log clean[stop]",
			change: func(l *life) { l.driver.Slow("log", time.Second) },
			live: func(l *life) {
				l.anew()
				l.exit("sum", 0)
				l.over()
				l.saw("done", "0s stop log 5s\n1s start clean\n1s over: complete")
			},
		},
		{
			name: "a person restarts all of it", kind: "service", tasks: "init[pre] proxy[pre+] web clean[stop]",
			change: func(l *life) { l.serves("", "proxy", "web"); l.driver.Slow("web", time.Second) },
			live: func(l *life) {
				l.exit("init", 0)
				l.anew()
				if err := l.run.RestartAll("asked"); err != nil {
					l.t.Fatal(err)
				}
				l.pass(2 * time.Second)
				l.saw("restarted", "0s leave group\n0s leave web\n0s stop web 5s\n1s leave proxy\n1s stop proxy 5s\n1s start init\n1s start proxy\n1s join proxy")
				l.exit("init", 0)
				l.saw("begun again", "0s start web\n0s join web\n0s join group")
			},
		},
		{
			name: "a check that keeps failing restarts its task, and its restarts count", kind: "service", tasks: "web log",
			change: func(l *life) { l.restarts(1); l.serves("web") },
			live: func(l *life) {
				l.anew()
				unhealthy := func() {
					w, _ := l.offered("web")
					w.Restart("web", "check failed")
				}
				unhealthy()
				l.pass(5 * time.Second)
				l.saw("restarted", "0s leave web\n0s stop web 5s\n1s start web\n1s join web")
				unhealthy()
				l.over()
				l.saw("used up", "0s leave web\n0s stop web 5s\n0s stop log 5s\n0s over: failed")
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := live(t, c.kind, c.tasks, c.change)
				defer l.stops["a1"]()
				c.live(l)
			})
		})
	}
}

// restarts lets each task be restarted so often.
func (l *life) restarts(n int) { l.group.RestartPolicy.Attempts = &n }

// offered is a workload that is in the catalogue.
func (l *life) offered(task string) (service.Workload, bool) { return l.offers.offered(task) }
