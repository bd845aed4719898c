//go:build linux

package rawexec

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/process"
)

// pluginConfig is the `plugin "raw_exec"` block.
type pluginConfig struct {
	Enabled        bool     `codec:"enabled"`
	DeniedHostUIDs string   `codec:"denied_host_uids"`
	DeniedHostGIDs string   `codec:"denied_host_gids"`
	DeniedEnvvars  []string `codec:"denied_envvars"`

	denied process.Denied
}

// taskConfig is a task's `config` block.
type taskConfig struct {
	Command          string              `codec:"command"`
	Args             []string            `codec:"args"`
	WorkDir          string              `codec:"work_dir"`
	CgroupV1Override []map[string]string `codec:"cgroup_v1_override"`
	CgroupV2Override string              `codec:"cgroup_v2_override"`
	OOMScoreAdj      int                 `codec:"oom_score_adj"`
	DeniedEnvvars    []string            `codec:"denied_envvars"`
}

// Schema implements drivers.Describer.
func (d *Driver) Schema(context.Context) (*drivers.Schema, error) {
	return &drivers.Schema{
		Plugin: drivers.Object(drivers.Fields{
			"enabled":          drivers.Default(drivers.Attr("enabled", "bool"), "false"),
			"denied_host_uids": drivers.Attr("denied_host_uids", "string"),
			"denied_host_gids": drivers.Attr("denied_host_gids", "string"),
			"denied_envvars":   drivers.Attr("denied_envvars", "list(string)"),
		}),
		Task: drivers.Object(drivers.Fields{
			"command":            drivers.Required("command", "string"),
			"args":               drivers.Attr("args", "list(string)"),
			"work_dir":           drivers.Attr("work_dir", "string"),
			"cgroup_v1_override": drivers.Attr("cgroup_v1_override", "list(map(string))"),
			"cgroup_v2_override": drivers.Attr("cgroup_v2_override", "string"),
			"oom_score_adj":      drivers.Attr("oom_score_adj", "number"),
			"denied_envvars":     drivers.Attr("denied_envvars", "list(string)"),
		}),
	}, nil
}

// Configure implements drivers.Describer.
func (d *Driver) Configure(_ context.Context, config []byte, _ *drivers.NodeConfig) error {
	var c pluginConfig
	if err := drivers.DecodeConfig(config, &c); err != nil {
		return err
	}
	var err error
	if c.denied, err = process.ParseDenied(c.DeniedHostUIDs, c.DeniedHostGIDs); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.config = c
	return nil
}

func decodeTask(t *drivers.TaskConfig) (*taskConfig, error) {
	var c taskConfig
	if err := drivers.DecodeConfig(t.Config, &c); err != nil {
		return nil, err
	}
	if c.Command == "" {
		return nil, errors.New("command is empty: name the program to run")
	}
	if c.WorkDir != "" && !filepath.IsAbs(c.WorkDir) {
		return nil, fmt.Errorf("work_dir %q must be an absolute path", c.WorkDir)
	}
	if c.OOMScoreAdj < 0 || c.OOMScoreAdj > 1000 {
		return nil, fmt.Errorf("oom_score_adj %d must be between 0 and 1000", c.OOMScoreAdj)
	}
	return &c, nil
}

// workDir is where the task runs.
func (c *taskConfig) workDir(t *drivers.TaskConfig) string {
	if c.WorkDir != "" {
		return c.WorkDir
	}
	return t.TaskDir()
}
