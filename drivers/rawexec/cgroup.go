//go:build linux

package rawexec

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/process"
	"github.com/steppe-run/steppe/drivers/supervise/keeper"
)

// placeInCgroups gives the task a cgroup of its own where that can be done, or
// the ones that it names.
func placeInCgroups(spec *keeper.Spec, t *drivers.TaskConfig, c *taskConfig) error {
	for _, overrides := range c.CgroupV1Override {
		for controller, path := range overrides {
			dir := filepath.Join(process.CgroupMount, controller, path)
			if _, err := os.Stat(dir + "/tasks"); err != nil {
				return fmt.Errorf("cgroup_v1_override: %s is not a version 1 cgroup on this node: %w", dir, err)
			}
			spec.LegacyCgroups = append(spec.LegacyCgroups, dir)
		}
	}
	if c.CgroupV2Override == "" {
		process.OwnCgroup(spec, t)
		return nil
	}
	root := process.Unified()
	if root == "" {
		return fmt.Errorf("cgroup_v2_override: this node has no version 2 cgroups")
	}
	spec.Cgroup, spec.CgroupForeign = filepath.Join(root, c.CgroupV2Override), true
	if _, err := os.Stat(spec.Cgroup); err != nil {
		return fmt.Errorf("cgroup_v2_override: %w", err)
	}
	return nil
}
