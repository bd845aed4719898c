//go:build linux

package mock

import (
	"context"
	"fmt"
	"time"

	"github.com/steppe-run/steppe/drivers"
)

// pluginConfig is the `plugin "mock_driver"` block.
type pluginConfig struct {
	FSIsolation           string `codec:"fs_isolation"`
	ShutdownPeriodicAfter string `codec:"shutdown_periodic_after"`
}

func (c *pluginConfig) isolation() drivers.FSIsolation {
	if c.FSIsolation == "" {
		return drivers.FSNone
	}
	return drivers.FSIsolation(c.FSIsolation)
}

// taskConfig is a task's `config` block. Durations are text such as "5s".
type taskConfig struct {
	// StartErr makes the start fail, StartErrRecoverable in a way that may be
	// tried again, StartBlockFor after that time.
	StartErr            string `codec:"start_error"`
	StartErrRecoverable bool   `codec:"start_error_recoverable"`
	StartBlockFor       string `codec:"start_block_for"`
	// RunFor is how long the task runs; zero ends it at once, absent never.
	RunFor *string `codec:"run_for"`
	// ExitCode, ExitSignal and ExitErrMsg are how it ends by itself.
	ExitCode   int    `codec:"exit_code"`
	ExitSignal int    `codec:"exit_signal"`
	ExitErrMsg string `codec:"exit_err_msg"`
	OOMKilled  bool   `codec:"oom_killed"`
	// KillAfter is how long it goes on after it was asked to stop.
	KillAfter string `codec:"kill_after"`
	// SignalErr is the answer to every signal.
	SignalErr string `codec:"signal_error"`
	// StdoutString is printed at once and StdoutRepeat times more, every
	// StdoutRepeatDuration; StderrString is printed once.
	StdoutString         string `codec:"stdout_string"`
	StdoutRepeat         int    `codec:"stdout_repeat"`
	StdoutRepeatDuration string `codec:"stdout_repeat_duration"`
	StderrString         string `codec:"stderr_string"`
	// DriverIP, DriverPortMap and DriverAdvertise are the network override.
	DriverIP        string           `codec:"driver_ip"`
	DriverPortMap   []map[string]int `codec:"driver_port_map"`
	DriverAdvertise bool             `codec:"driver_advertise"`
	// ExecCommand answers commands; see exec.go for those that need none.
	ExecCommand *execConfig `codec:"exec_command"`
	// PluginExitAfter kills the plugin's process that long after the start.
	PluginExitAfter string `codec:"plugin_exit_after"`
}

// execConfig is what a command prints and how it ends.
type execConfig struct {
	RunFor       string `codec:"run_for"`
	ExitCode     int    `codec:"exit_code"`
	StdoutString string `codec:"stdout_string"`
	StderrString string `codec:"stderr_string"`
}

// Schema implements drivers.Describer.
func (d *Driver) Schema(context.Context) (*drivers.Schema, error) {
	text := func(name string) *drivers.Spec { return drivers.Attr(name, "string") }
	number := func(name string) *drivers.Spec { return drivers.Attr(name, "number") }
	flag := func(name string) *drivers.Spec { return drivers.Attr(name, "bool") }
	return &drivers.Schema{
		Plugin: drivers.Object(drivers.Fields{
			"fs_isolation":            drivers.Default(text("fs_isolation"), `"none"`),
			"shutdown_periodic_after": text("shutdown_periodic_after"),
		}),
		Task: drivers.Object(drivers.Fields{
			"start_error": text("start_error"), "start_error_recoverable": flag("start_error_recoverable"),
			"start_block_for": text("start_block_for"), "run_for": text("run_for"),
			"exit_code": number("exit_code"), "exit_signal": number("exit_signal"), "exit_err_msg": text("exit_err_msg"),
			"oom_killed": flag("oom_killed"), "kill_after": text("kill_after"), "signal_error": text("signal_error"),
			"stdout_string": text("stdout_string"), "stdout_repeat": number("stdout_repeat"),
			"stdout_repeat_duration": text("stdout_repeat_duration"), "stderr_string": text("stderr_string"),
			"driver_ip": text("driver_ip"), "driver_port_map": drivers.Attr("driver_port_map", "list(map(number))"),
			"driver_advertise": flag("driver_advertise"), "plugin_exit_after": text("plugin_exit_after"),
			"exec_command": drivers.Block("exec_command", drivers.Object(drivers.Fields{
				"run_for": text("run_for"), "exit_code": number("exit_code"),
				"stdout_string": text("stdout_string"), "stderr_string": text("stderr_string"),
			})),
		}),
	}, nil
}

// Configure implements drivers.Describer.
func (d *Driver) Configure(_ context.Context, config []byte, _ *drivers.NodeConfig) error {
	var c pluginConfig
	if err := drivers.DecodeConfig(config, &c); err != nil {
		return err
	}
	if _, err := duration("shutdown_periodic_after", c.ShutdownPeriodicAfter); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.config = c
	return nil
}

// duration reads a configured duration; empty is zero.
func duration(name, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	v, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return v, nil
}

// durations are the task's, read.
type durations struct {
	startBlockFor, killAfter, repeat, pluginExitAfter time.Duration
	// runFor is nil for a task that doesn't end by itself.
	runFor *time.Duration
}

func (c *taskConfig) durations() (*durations, error) {
	out := &durations{}
	var err error
	read := func(name, text string, into *time.Duration) {
		if err == nil {
			*into, err = duration(name, text)
		}
	}
	read("start_block_for", c.StartBlockFor, &out.startBlockFor)
	read("kill_after", c.KillAfter, &out.killAfter)
	read("stdout_repeat_duration", c.StdoutRepeatDuration, &out.repeat)
	read("plugin_exit_after", c.PluginExitAfter, &out.pluginExitAfter)
	if c.RunFor != nil {
		out.runFor = new(time.Duration)
		read("run_for", *c.RunFor, out.runFor)
	}
	return out, err
}
