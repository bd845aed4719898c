//go:build linux

package supervise

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/supervise/keeper"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/process"
	"github.com/steppe-run/steppe/internal/testx"
)

const patience = 20 * time.Second

// TestMain makes this very program the supervisor that is launched.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "supervisor" {
		os.Exit(keeper.Main(os.Args[2:]))
	}
	goleak.VerifyTestMain(m)
}

// bench is a node whose agents come and go.
type bench struct {
	t         *testing.T
	dir, logs string
	collector *Collector
	stop      func()
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, dir: filepath.Join(t.TempDir(), "logs"), logs: t.TempDir()}
	b.agent()
	t.Cleanup(func() { b.stop() })
	return b
}

// agent replaces the agent by a new one.
func (b *bench) agent() {
	if b.stop != nil {
		b.stop()
	}
	b.collector = NewCollector(b.dir, nil, logx.Discard())
	group := loop.New(b.t.Context())
	group.Go("collector", b.collector.Run)
	b.stop = func() {
		group.Stop()
		if err := group.Wait(); err != nil {
			b.t.Error(err)
		}
	}
}

func (b *bench) stream(name string) drivers.LogStream {
	return drivers.LogStream{FIFO: filepath.Join(b.logs, "."+name+".fifo"), Dir: b.logs, Name: name, Policy: drivers.LogPolicy{MaxFiles: 2, MaxFileSizeMB: 1}}
}

func (b *bench) collect(name string) *os.File {
	b.t.Helper()
	s := b.stream(name)
	if err := b.collector.Collect(b.t.Context(), s); err != nil {
		b.t.Fatal(err)
	}
	f, err := os.OpenFile(s.FIFO, os.O_WRONLY, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = f.Close() })
	return f
}

func (b *bench) process() process.Identity {
	b.t.Helper()
	status, err := At(b.dir).Status(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return status.Supervisor
}

// awaitText waits until a log file holds exactly this.
func (b *bench) awaitText(name, want string) {
	b.t.Helper()
	testx.Eventually(b.t, patience, name+" holds what was written", func() bool {
		data, err := os.ReadFile(filepath.Join(b.logs, name+".0"))
		return err == nil && string(data) == want
	})
}

func TestCollectorOutlivesTheAgent(t *testing.T) {
	b := newBench(t)
	out := b.collect("web.stdout")
	_, err := fmt.Fprintln(out, "one")
	must(t, err)
	b.awaitText("web.stdout", "one\n")
	first := b.process()
	b.stop()
	_, err = fmt.Fprintln(out, "two")
	must(t, err)
	b.awaitText("web.stdout", "one\ntwo\n") // nobody but the collector is there
	b.stop = nil
	b.agent()
	must(t, b.collector.Collect(t.Context(), b.stream("web.stdout")))
	if again := b.process(); again != first {
		t.Errorf("collector %v is another than %v", again, first)
	}
	_, err = fmt.Fprintln(out, "three")
	must(t, err)
	must(t, b.collector.Release(t.Context(), b.stream("web.stdout").FIFO))
	data, err := os.ReadFile(filepath.Join(b.logs, "web.stdout.0"))
	if err != nil || string(data) != "one\ntwo\nthree\n" {
		t.Errorf("after the release %q, %v", data, err)
	}
	if _, err := os.Lstat(b.stream("web.stdout").FIFO); !os.IsNotExist(err) {
		t.Errorf("the FIFO is left: %v", err)
	}
	testx.Eventually(t, patience, "the collector has ended", func() bool { return !first.Alive() })
}

func TestKilledCollectorLosesNothing(t *testing.T) {
	b := newBench(t)
	out, other := b.collect("a.stdout"), b.collect("b.stdout")
	_, err := fmt.Fprintln(out, "before")
	must(t, err)
	b.awaitText("a.stdout", "before\n")
	first := b.process()
	must(t, first.Signal(syscall.SIGKILL))
	testx.Eventually(t, patience, "it is dead", func() bool { return !first.Alive() })
	// A write to a pipe without reader would end the task.
	_, err = fmt.Fprintln(out, "between")
	must(t, err)
	_, err = fmt.Fprintln(other, "there")
	must(t, err)
	b.awaitText("a.stdout", "before\nbetween\n")
	b.awaitText("b.stdout", "there\n")
	must(t, b.collector.Release(t.Context(), b.stream("a.stdout").FIFO))
	second := b.process()
	must(t, b.collector.Release(t.Context(), b.stream("b.stdout").FIFO))
	testx.Eventually(t, patience, "the collector has ended", func() bool { return !second.Alive() })
}

// Streams come while the last one goes: none may fall between two collectors.
func TestCollectorsFollowEachOther(t *testing.T) {
	b := newBench(t)
	for i := range 20 {
		name := fmt.Sprintf("t%d", i)
		out := b.collect(name)
		_, err := fmt.Fprint(out, name)
		must(t, err)
		must(t, b.collector.Release(t.Context(), b.stream(name).FIFO))
		b.awaitText(name, name)
	}
	if files, err := filepath.Glob(filepath.Join(b.logs, ".*")); err != nil || len(files) != 0 {
		t.Errorf("left: %v, %v", files, err)
	}
}

func TestCollectorForgetsWhatWasRemoved(t *testing.T) {
	b := newBench(t)
	b.collect("gone")
	kept := b.collect("kept")
	must(t, os.Remove(b.stream("gone").FIFO))
	collector := b.process() // asking has it look
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", collector.PID))
	must(t, err)
	testx.Eventually(t, patience, "the FIFO is closed", func() bool {
		for _, fd := range fds {
			if to, err := os.Readlink(fd); err == nil && strings.Contains(to, "gone.fifo") {
				return false
			}
		}
		return true
	})
	_, err = fmt.Fprint(kept, "here")
	must(t, err)
	b.awaitText("kept", "here")
	must(t, b.collector.Release(t.Context(), b.stream("kept").FIFO))
	testx.Eventually(t, patience, "the collector has ended", func() bool { return !collector.Alive() })
}

func TestCollectRefusesWhatIsNoFIFO(t *testing.T) {
	b := newBench(t)
	must(t, os.WriteFile(b.stream("file").FIFO, []byte("x"), 0o600))
	must(t, os.Symlink("/dev/zero", b.stream("link").FIFO))
	for _, name := range []string{"file", "link"} {
		if err := b.collector.Collect(t.Context(), b.stream(name)); err == nil || !strings.Contains(err.Error(), "something else") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
