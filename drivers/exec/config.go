//go:build linux

package exec

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/process"
	"github.com/steppe-run/steppe/internal/confine"
)

// defaultPids is how many processes and threads a task may have.
const defaultPids = 4096

// The modes of pid_mode and ipc_mode.
const (
	private = "private"
	host    = "host"
)

// defaultCaps are what jobs may add unless the node says otherwise.
var defaultCaps = []string{
	"audit_write", "chown", "dac_override", "fowner", "fsetid", "kill", "mknod", "net_bind_service", "setfcap", "setgid", "setpcap", "setuid", "sys_chroot",
}

// neverGiven may be asked for, as other schedulers give them, and is never
// given: a device or a file with capabilities means nothing in the sandbox, and
// would be power for who finds it in the task's directory from outside.
const neverGiven = confine.Caps(1<<unix.CAP_MKNOD | 1<<unix.CAP_SETFCAP)

// pluginConfig is the `plugin "exec"` block.
type pluginConfig struct {
	NoPivotRoot    bool     `codec:"no_pivot_root"`
	DefaultPIDMode string   `codec:"default_pid_mode"`
	DefaultIPCMode string   `codec:"default_ipc_mode"`
	AllowCaps      []string `codec:"allow_caps"`
	DeniedHostUIDs string   `codec:"denied_host_uids"`
	DeniedHostGIDs string   `codec:"denied_host_gids"`
	PidsLimit      int64    `codec:"pids_limit"`
	// ChrootEnv says where which of the node's folders are shown.
	ChrootEnv map[string]string `codec:"chroot_env"`

	allowed confine.Caps
	denied  process.Denied
}

// taskConfig is a task's `config` block.
type taskConfig struct {
	Command string   `codec:"command"`
	Args    []string `codec:"args"`
	PIDMode string   `codec:"pid_mode"`
	IPCMode string   `codec:"ipc_mode"`
	CapAdd  []string `codec:"cap_add"`
	CapDrop []string `codec:"cap_drop"`
	WorkDir string   `codec:"work_dir"`
	// Rootfs is a folder of the task's directory to be its root.
	Rootfs string `codec:"rootfs"`
}

// Schema implements drivers.Describer.
func (d *Driver) Schema(context.Context) (*drivers.Schema, error) {
	return &drivers.Schema{
		Plugin: drivers.Object(drivers.Fields{
			"no_pivot_root":    drivers.Default(drivers.Attr("no_pivot_root", "bool"), "false"),
			"default_pid_mode": drivers.Default(drivers.Attr("default_pid_mode", "string"), `"private"`),
			"default_ipc_mode": drivers.Default(drivers.Attr("default_ipc_mode", "string"), `"private"`),
			"allow_caps":       drivers.Attr("allow_caps", "list(string)"),
			"denied_host_uids": drivers.Attr("denied_host_uids", "string"),
			"denied_host_gids": drivers.Attr("denied_host_gids", "string"),
			"pids_limit":       drivers.Default(drivers.Attr("pids_limit", "number"), fmt.Sprint(defaultPids)),
			"chroot_env":       drivers.Attr("chroot_env", "map(string)"),
		}),
		Task: drivers.Object(drivers.Fields{
			"command":  drivers.Required("command", "string"),
			"args":     drivers.Attr("args", "list(string)"),
			"pid_mode": drivers.Attr("pid_mode", "string"),
			"ipc_mode": drivers.Attr("ipc_mode", "string"),
			"cap_add":  drivers.Attr("cap_add", "list(string)"),
			"cap_drop": drivers.Attr("cap_drop", "list(string)"),
			"work_dir": drivers.Attr("work_dir", "string"),
			"rootfs":   drivers.Attr("rootfs", "string"),
		}),
	}, nil
}

// Configure implements drivers.Describer.
func (d *Driver) Configure(_ context.Context, config []byte, _ *drivers.NodeConfig) error {
	var c pluginConfig
	if err := drivers.DecodeConfig(config, &c); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.config = c
	return nil
}

// check fills in what is derived from the block.
func (c *pluginConfig) check() error {
	var err error
	if c.denied, err = process.ParseDenied(c.DeniedHostUIDs, c.DeniedHostGIDs); err != nil {
		return err
	}
	if c.AllowCaps == nil {
		c.AllowCaps = defaultCaps
	}
	if c.allowed, err = confine.ParseCaps(c.AllowCaps); err != nil {
		return fmt.Errorf("allow_caps: %w", err)
	}
	if c.PidsLimit < 0 {
		return fmt.Errorf("pids_limit %d is negative: 0 means no limit", c.PidsLimit)
	}
	for from, to := range c.ChrootEnv {
		if !filepath.IsAbs(from) || !filepath.IsAbs(to) || filepath.Clean(to) == "/" {
			return fmt.Errorf("chroot_env: %q = %q: both must be absolute paths, and the second not the root", from, to)
		}
	}
	return errors.Join(checkMode("default_pid_mode", c.DefaultPIDMode), checkMode("default_ipc_mode", c.DefaultIPCMode))
}

func checkMode(key, mode string) error {
	if mode != "" && mode != private && mode != host {
		return fmt.Errorf("%s %q must be private or host", key, mode)
	}
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
	if c.WorkDir == "" {
		c.WorkDir = "/"
	}
	if !filepath.IsAbs(c.WorkDir) {
		return nil, fmt.Errorf("work_dir %q must be an absolute path", c.WorkDir)
	}
	if c.Rootfs != "" && (!filepath.IsLocal(c.Rootfs) || filepath.Clean(c.Rootfs) == ".") {
		return nil, fmt.Errorf("rootfs %q must be a folder below the task's directory, such as local/image", c.Rootfs)
	}
	return &c, errors.Join(checkMode("pid_mode", c.PIDMode), checkMode("ipc_mode", c.IPCMode))
}

// capabilities are what the task is given: nothing that it doesn't ask for, and
// nothing that the node doesn't allow.
func (c *pluginConfig) capabilities(task *taskConfig) (confine.Caps, error) {
	add, err := confine.ParseCaps(task.CapAdd)
	if err != nil {
		return 0, fmt.Errorf("cap_add: %w", err)
	}
	drop, err := confine.ParseCaps(task.CapDrop)
	if err != nil {
		return 0, fmt.Errorf("cap_drop: %w", err)
	}
	if add == confine.AllCaps() {
		add = c.allowed
	}
	if extra := add &^ drop &^ c.allowed; extra != 0 {
		return 0, fmt.Errorf("cap_add: %v is not allowed on this node (allow_caps of plugin \"exec\")", extra.Names())
	}
	return add &^ drop &^ neverGiven, nil
}
