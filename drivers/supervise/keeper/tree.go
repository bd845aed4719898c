//go:build linux

package keeper

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
)

// killPatience is how long killed processes may take to be gone. One that
// hangs in the kernel must not keep the task's end from being known.
const killPatience = 5 * time.Second

// tree is everything the task has started. A cgroup of the unified hierarchy
// holds it where there is one; being its reaper finds the rest, since orphans
// of the task become our children.
type tree struct {
	children *children
	clock    clock.Clock
	cgroup   string
	owned    bool
	dir      *os.File
	// groups are cgroups of version 1 hierarchies.
	groups []Group
	// first says that we are the first process of a PID namespace: whatever else
	// is in it, is the task's.
	first bool
}

func newTree(spec *Spec, c *children) (*tree, error) {
	t := &tree{children: c, clock: clock.Real{}, first: spec.Box != nil && spec.Box.PID}
	if err := t.makeGroups(spec.Groups); err != nil {
		t.remove()
		return nil, err
	}
	if spec.Cgroup == "" {
		return t, nil
	}
	if !spec.CgroupForeign {
		if err := os.MkdirAll(spec.Cgroup, 0o755); err != nil {
			return nil, fmt.Errorf("make cgroup: %w", err)
		}
	}
	dir, err := os.Open(spec.Cgroup)
	if err != nil {
		return nil, fmt.Errorf("open cgroup: %w", err)
	}
	t.cgroup, t.owned, t.dir = spec.Cgroup, !spec.CgroupForeign, dir
	if err := set(spec.Cgroup, spec.Settings); err != nil {
		t.remove()
		return nil, err
	}
	return t, nil
}

// makeGroups makes the further cgroups with their limits.
func (t *tree) makeGroups(groups []Group) error {
	for _, g := range groups {
		if err := os.MkdirAll(g.Dir, 0o755); err != nil {
			return fmt.Errorf("make cgroup: %w", err)
		}
		t.groups = append(t.groups, g)
		if err := set(g.Dir, g.Settings); err != nil {
			return err
		}
	}
	return nil
}

func set(dir string, settings []Setting) error {
	for _, s := range settings {
		path := dir + "/" + s.File
		if _, err := os.Stat(path); err != nil && s.Optional {
			continue
		}
		if err := os.WriteFile(path, []byte(s.Value), 0); err != nil && !s.Optional {
			return fmt.Errorf("limit the task: write %s: %w", s.Value, err)
		}
	}
	return nil
}

// admit puts a process that waits into the further cgroups.
func (t *tree) admit(pid int) error {
	for _, g := range t.groups {
		if err := os.WriteFile(g.Dir+"/cgroup.procs", []byte(strconv.Itoa(pid)), 0); err != nil {
			return fmt.Errorf("enter cgroup: %w", err)
		}
	}
	return nil
}

// fd is the cgroup's descriptor, into which children are born.
func (t *tree) fd() (int, bool) {
	if t.dir == nil {
		return 0, false
	}
	return int(t.dir.Fd()), true
}

// kill ends every process of the task and waits until they are gone.
func (t *tree) kill() {
	deadline := t.clock.Now().Add(killPatience)
	for round := 0; ; round++ {
		if t.first {
			_ = syscall.Kill(-1, syscall.SIGKILL) // none is left then
		}
		t.killCgroup()
		// Looking through all processes is dear; mostly there is no child left.
		if !t.children.any() || t.clock.Now().After(deadline) {
			return
		}
		if !t.first && (!t.owned || round > 0) {
			t.killChildren()
		}
		t.pause()
	}
}

// pause lets the killed die.
func (t *tree) pause() {
	timer := t.clock.NewTimer(time.Millisecond)
	<-timer.C()
}

func (t *tree) killCgroup() {
	if !t.owned {
		return
	}
	if os.WriteFile(t.cgroup+"/cgroup.kill", []byte("1"), 0) == nil {
		return
	}
	// Kernels before 5.14 kill one by one.
	data, _ := os.ReadFile(t.cgroup + "/cgroup.procs")
	for _, field := range strings.Fields(string(data)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// killChildren kills our children, and by it their children one round later.
func (t *tree) killChildren() {
	for _, pid := range childrenOf(os.Getpid()) {
		// A child stays ours until it is reaped, so its number is safe.
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// childrenOf lists a process' children, zombies included.
func childrenOf(parent int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var out []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if ppid, ok := parentOf(pid); ok && ppid == parent {
			out = append(out, pid)
		}
	}
	return out
}

func parentOf(pid int) (int, bool) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 2 {
		return 0, false
	}
	ppid, err := strconv.Atoi(string(fields[1]))
	return ppid, err == nil
}

// oomKilled reports whether the kernel killed something in the task's cgroup
// for want of memory.
func (t *tree) oomKilled() bool {
	for _, g := range t.groups {
		if countsKills(g.Dir + "/memory.oom_control") {
			return true
		}
	}
	return t.owned && countsKills(t.cgroup+"/memory.events")
}

// countsKills reads how often the kernel killed, of either version.
func countsKills(path string) bool {
	data, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	for _, line := range strings.Split(string(data), "\n") {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return n != "0"
		}
	}
	return false
}

// remove takes the cgroup away.
func (t *tree) remove() {
	deadline := t.clock.Now().Add(killPatience)
	for _, g := range t.groups {
		t.removeOne(g.Dir, deadline)
	}
	if t.dir == nil {
		return
	}
	_ = t.dir.Close()
	if t.owned {
		t.removeOne(t.cgroup, deadline)
	}
}

func (t *tree) removeOne(dir string, deadline time.Time) {
	for {
		err := os.Remove(dir)
		// Killed processes leave their cgroup a moment after their end.
		if err == nil || errors.Is(err, fs.ErrNotExist) || t.clock.Now().After(deadline) {
			return
		}
		t.pause()
	}
}
