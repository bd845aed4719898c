//go:build linux

package rawexec

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/supervise/keeper"
)

// cgroupMount is where the kernel's cgroups are found.
const cgroupMount = "/sys/fs/cgroup"

// cgroupParent holds the cgroups of tasks.
const cgroupParent = "steppe"

// cgroupAge is how old an empty cgroup must be to belong to nobody: one that a
// task is about to be born into is empty too.
const cgroupAge = time.Minute

// sweepCgroups removes what killed supervisors left. The kernel refuses to
// remove a cgroup with a process in it.
func sweepCgroups(root string, now time.Time) {
	if root == "" {
		return
	}
	parent := filepath.Join(root, cgroupParent)
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

// unified returns the root of the version 2 hierarchy, empty if there is none.
// Beside version 1 it lives in a folder of its own, without controllers; it
// still tells a task's processes from others and kills them at once.
func unified() string {
	for _, dir := range []string{cgroupMount, cgroupMount + "/unified"} {
		if _, err := os.Stat(dir + "/cgroup.controllers"); err == nil {
			return dir
		}
	}
	return ""
}

// placeInCgroups gives the task a cgroup of its own where that can be done, or
// the ones that it names.
func placeInCgroups(spec *keeper.Spec, t *drivers.TaskConfig, c *taskConfig) error {
	root := unified()
	for _, overrides := range c.CgroupV1Override {
		for controller, path := range overrides {
			dir := filepath.Join(cgroupMount, controller, path)
			if _, err := os.Stat(dir + "/tasks"); err != nil {
				return fmt.Errorf("cgroup_v1_override: %s is not a version 1 cgroup on this node: %w", dir, err)
			}
			spec.LegacyCgroups = append(spec.LegacyCgroups, dir)
		}
	}
	if c.CgroupV2Override != "" {
		if root == "" {
			return fmt.Errorf("cgroup_v2_override: this node has no version 2 cgroups")
		}
		spec.Cgroup, spec.CgroupForeign = filepath.Join(root, c.CgroupV2Override), true
		if _, err := os.Stat(spec.Cgroup); err != nil {
			return fmt.Errorf("cgroup_v2_override: %w", err)
		}
		return nil
	}
	if root == "" || !isRoot() {
		return nil
	}
	parent := filepath.Join(root, cgroupParent)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		// A container often shows cgroups without letting us make any: the
		// supervisor then kills by descent.
		return nil
	}
	spec.Cgroup = filepath.Join(parent, strings.ReplaceAll(t.ID, "/", "."))
	return nil
}
