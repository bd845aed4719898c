//go:build linux

package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/supervise/keeper"
)

// CgroupMount is where the kernel's cgroups are found.
const CgroupMount = "/sys/fs/cgroup"

// cgroupParent holds the cgroups of tasks.
const cgroupParent = "steppe"

// cgroupAge is how old an empty cgroup must be to belong to nobody: one that a
// task is about to be born into is empty too.
const cgroupAge = time.Minute

// controllers are those that a task's limits need.
var controllers = []string{"cpu", "memory", "pids", "cpuset"}

// sweepCgroups removes what killed supervisors left. The kernel refuses to
// remove a cgroup with a process in it.
func sweepCgroups(now time.Time) {
	roots := []string{Unified()}
	for _, name := range controllers {
		roots = append(roots, legacy(name))
	}
	for _, root := range roots {
		if root != "" {
			sweepBelow(filepath.Join(root, cgroupParent), now)
		}
	}
}

func sweepBelow(parent string, now time.Time) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return // there are none
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !entry.IsDir() || now.Sub(info.ModTime()) < cgroupAge {
			continue
		}
		_ = os.Remove(filepath.Join(parent, entry.Name())) // in use
	}
}

// Unified returns the root of the version 2 hierarchy, empty if there is none.
// Beside version 1 it lives in a folder of its own, without controllers; it
// still tells a task's processes from others and kills them at once.
func Unified() string {
	for _, dir := range []string{CgroupMount, CgroupMount + "/unified"} {
		if _, err := os.Stat(dir + "/cgroup.controllers"); err == nil {
			return dir
		}
	}
	return ""
}

// legacy returns the root of a version 1 hierarchy, empty if there is none.
func legacy(controller string) string {
	dir := filepath.Join(CgroupMount, controller)
	if _, err := os.Stat(dir + "/cgroup.clone_children"); err != nil {
		return ""
	}
	return dir
}

// OwnCgroup gives the task a cgroup of its own where that can be done.
func OwnCgroup(spec *keeper.Spec, t *drivers.TaskConfig) {
	root := Unified()
	if root == "" || os.Geteuid() != 0 {
		return
	}
	parent := filepath.Join(root, cgroupParent)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		// A container often shows cgroups without letting us make any: the
		// supervisor then kills by descent.
		return
	}
	spec.Cgroup = filepath.Join(parent, cgroupName(t))
}

func cgroupName(t *drivers.TaskConfig) string { return strings.ReplaceAll(t.ID, "/", ".") }

// Limits are what a task may use.
type Limits struct {
	CPUShares int64
	// CPUQuota of CPUPeriod, in microseconds, is a hard limit; 0 is none.
	CPUQuota  int64
	CPUPeriod int64
	// Memory in bytes ends the task when it is exceeded; MemorySoft is what it
	// keeps when the machine is short of it.
	Memory     int64
	MemorySoft int64
	Pids       int64
	// Cores are those it runs on, such as "0,1"; empty is any.
	Cores string
}

// Limit makes the kernel hold the task to its limits, by version 2 where the
// controllers are there, else by version 1. It says what can't be held.
func Limit(spec *keeper.Spec, t *drivers.TaskConfig, l *Limits) error {
	root := Unified()
	have := delegate(root)
	var missing []string
	for _, name := range controllers {
		wanted := l.settings(name)
		if len(wanted.v2) == 0 {
			continue
		}
		switch dir := legacy(name); {
		case have[name] && spec.Cgroup != "" && !spec.CgroupForeign:
			spec.Settings = append(spec.Settings, wanted.v2...)
		case dir != "":
			group, err := legacyGroup(dir, name, t)
			if err != nil {
				return err
			}
			group.Settings = append(group.Settings, wanted.v1...)
			spec.Groups = append(spec.Groups, group)
		default:
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("limit the task: this node has no cgroup controller for %s", strings.Join(missing, ", "))
	}
	return nil
}

// delegate switches the controllers on for the tasks' cgroups, and returns
// those that are.
func delegate(root string) map[string]bool {
	out := map[string]bool{}
	if root == "" {
		return out
	}
	parent := filepath.Join(root, cgroupParent)
	for _, name := range controllers {
		for _, dir := range []string{root, parent} {
			_ = os.WriteFile(dir+"/cgroup.subtree_control", []byte("+"+name), 0) // read back below
		}
	}
	data, _ := os.ReadFile(parent + "/cgroup.subtree_control")
	for _, name := range strings.Fields(string(data)) {
		out[name] = true
	}
	return out
}

// legacyGroup is the task's cgroup below a version 1 hierarchy. That of cores
// must know cores and memory nodes before anything can run in it.
func legacyGroup(root, controller string, t *drivers.TaskConfig) (keeper.Group, error) {
	parent := filepath.Join(root, cgroupParent)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return keeper.Group{}, fmt.Errorf("make cgroup: %w", err)
	}
	group := keeper.Group{Dir: filepath.Join(parent, cgroupName(t))}
	if controller != "cpuset" {
		return group, nil
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		all, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			return group, fmt.Errorf("read cores of the node: %w", err)
		}
		value := strings.TrimSpace(string(all))
		if err := os.WriteFile(filepath.Join(parent, file), []byte(value), 0); err != nil {
			return group, fmt.Errorf("give tasks the node's cores: %w", err)
		}
		group.Settings = append(group.Settings, keeper.Setting{File: file, Value: value})
	}
	return group, nil
}

// both are settings for either version.
type both struct{ v1, v2 []keeper.Setting }

// settings are those of one controller; none means that it isn't needed.
func (l *Limits) settings(controller string) both {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	var out both
	switch {
	case controller == "cpu" && l.CPUShares > 0:
		shares := min(max(l.CPUShares, 2), 262144)
		out.v1 = []keeper.Setting{{File: "cpu.shares", Value: number(shares)}}
		out.v2 = []keeper.Setting{{File: "cpu.weight", Value: number(1 + (shares-2)*9999/262142)}}
		if l.CPUQuota > 0 && l.CPUPeriod > 0 {
			out.v1 = append(out.v1, keeper.Setting{File: "cpu.cfs_period_us", Value: number(l.CPUPeriod)}, keeper.Setting{File: "cpu.cfs_quota_us", Value: number(l.CPUQuota)})
			out.v2 = append(out.v2, keeper.Setting{File: "cpu.max", Value: number(l.CPUQuota) + " " + number(l.CPUPeriod)})
		}
	case controller == "memory" && l.Memory > 0:
		out.v1 = []keeper.Setting{
			{File: "memory.limit_in_bytes", Value: number(l.Memory)}, {File: "memory.memsw.limit_in_bytes", Value: number(l.Memory), Optional: true},
			{File: "memory.swappiness", Value: "0", Optional: true}, {File: "memory.soft_limit_in_bytes", Value: number(l.MemorySoft), Optional: true},
		}
		out.v2 = []keeper.Setting{
			{File: "memory.max", Value: number(l.Memory)}, {File: "memory.swap.max", Value: "0", Optional: true},
			{File: "memory.low", Value: number(l.MemorySoft), Optional: true},
		}
	case controller == "pids" && l.Pids > 0:
		out.v1 = []keeper.Setting{{File: "pids.max", Value: number(l.Pids)}}
		out.v2 = out.v1
	case controller == "cpuset" && l.Cores != "":
		out.v1 = []keeper.Setting{{File: "cpuset.cpus", Value: l.Cores}}
		out.v2 = out.v1
	}
	return out
}
