//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// plugin is the driver.
type plugin struct {
	mode  string
	stop  func()
	mu    sync.Mutex
	tasks map[string]*task
}

// task is one that was started.
type task struct {
	ID, Name string
	PID      int
	Born     string // start time of the process: a number alone may be another's
	ExitFile string
	Started  time.Time

	ended chan struct{}
	code  int
	when  time.Time
}

func (p *plugin) driver(name string, c *call) error {
	switch name {
	case "TaskConfigSchema":
		attr := new(message).text(1, "script").text(2, "string").number(3, 1)
		entry := new(message).text(1, "script").in(2, new(message).in(3, attr))
		return c.send(new(message).in(1, new(message).in(1, new(message).in(1, entry))))
	case "Capabilities":
		return c.send(new(message).in(1, new(message).number(1, 1))) // signals; no isolation
	case "Fingerprint":
		attribute := new(message).text(1, "driver.sample.shell").in(2, new(message).text(3, "sh"))
		if err := c.send(new(message).in(1, attribute).number(2, 2).text(3, "Healthy")); err != nil {
			return err
		}
		<-c.ctx.Done()
		return nil
	case "TaskEvents":
		<-c.ctx.Done()
		return nil
	case "Init", "Shutdown", "TaskStats", "ExecTask", "CreateNetwork", "DestroyNetwork": // not of this driver
		return status.Errorf(codes.Unimplemented, "%s is not implemented", name)
	case "StartTask":
		return p.start(c)
	case "RecoverTask":
		return p.recover(c)
	}
	t := p.find(c.in.text(1))
	if t == nil {
		return status.Error(codes.Unknown, "task not found for given id")
	}
	switch name {
	case "WaitTask":
		select {
		case <-t.ended:
		case <-c.ctx.Done():
			return status.FromContextError(c.ctx.Err()).Err()
		}
		return c.send(new(message).in(1, t.exit()))
	case "StopTask":
		t.end(time.Duration(c.in.in(2).numbers[1])*time.Second+time.Duration(c.in.in(2).numbers[2]), c.in.text(3))
		return c.send(new(message))
	case "DestroyTask":
		return p.destroy(c, t)
	case "InspectTask":
		return c.send(new(message).in(1, t.status()).in(2, new(message)))
	case "SignalTask":
		if err := t.signal(c.in.text(2)); err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
		return c.send(new(message))
	}
	return status.Errorf(codes.Unimplemented, "%s is not implemented", name)
}

func (p *plugin) find(id string) *task {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tasks[id]
}

func (p *plugin) start(c *call) error {
	given := c.in.data[1]
	f := parse(given)
	settings, err := config(f.data[3])
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	t := &task{ID: f.text(1), Name: f.text(2), ended: make(chan struct{})}
	dir := filepath.Join(f.text(10), t.Name)
	t.ExitFile = filepath.Join(dir, "exit-"+t.ID[strings.LastIndex(t.ID, "/")+1:])
	// The shell around the script writes down how it ended, whoever is there to see.
	const around = `sh -c "$0"; code=$?; echo $code > "$1.new"; mv "$1.new" "$1"`
	cmd := exec.Command("/bin/sh", "-c", around, settings["script"], t.ExitFile)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	for key, value := range stringsOf(given, 4) {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	for i, path := range []string{f.text(11), f.text(12)} {
		if path == "" {
			continue
		}
		out, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return status.Error(codes.Unknown, err.Error())
		}
		defer out.Close()
		if i == 0 {
			cmd.Stdout = out
		} else {
			cmd.Stderr = out
		}
	}
	if err := cmd.Start(); err != nil {
		return status.Error(codes.Unknown, err.Error())
	}
	t.PID, t.Started = cmd.Process.Pid, time.Now()
	t.Born = born(t.PID)
	go func() { _ = cmd.Wait() }()
	p.keep(t)
	state, err := json.Marshal(t)
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	handle := new(message).number(1, 1).data(2, given).number(3, 1).data(4, state)
	return c.send(new(message).in(3, handle))
}

func (p *plugin) recover(c *call) error {
	t := &task{ended: make(chan struct{})}
	if err := json.Unmarshal(c.in.in(2).data[4], t); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if p.find(t.ID) == nil {
		p.keep(t)
	}
	return c.send(new(message))
}

// keep watches a task until its process is gone.
func (p *plugin) keep(t *task) {
	p.mu.Lock()
	p.tasks[t.ID] = t
	p.mu.Unlock()
	go func() {
		for t.alive() {
			time.Sleep(20 * time.Millisecond)
		}
		t.code, t.when = 137, time.Now()
		if text, err := os.ReadFile(t.ExitFile); err == nil {
			if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
				t.code = n
			}
		}
		close(t.ended)
	}()
}

func (p *plugin) destroy(c *call, t *task) error {
	if t.alive() {
		if c.in.numbers[2] == 0 {
			return status.Error(codes.FailedPrecondition, "the task still runs")
		}
		t.end(0, "")
	}
	p.mu.Lock()
	delete(p.tasks, t.ID)
	p.mu.Unlock()
	_ = os.Remove(t.ExitFile)
	return c.send(new(message))
}

// born is when a process began, "" if it is gone or a zombie.
func born(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	after := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(after) < 20 || after[0] == "Z" {
		return ""
	}
	return after[19]
}

func (t *task) alive() bool { return t.Born != "" && born(t.PID) == t.Born }

func (t *task) signal(name string) error {
	n := unix.SignalNum(name)
	if n == 0 {
		return fmt.Errorf("%q is no signal", name)
	}
	return syscall.Kill(-t.PID, n)
}

// end asks a task to end, and kills it when its time is over.
func (t *task) end(patience time.Duration, signal string) {
	if signal == "" {
		signal = "SIGTERM"
	}
	_ = t.signal(signal)
	select {
	case <-t.ended:
	case <-time.After(patience):
		_ = syscall.Kill(-t.PID, syscall.SIGKILL)
		<-t.ended
	}
}

func (t *task) exit() *message { return new(message).number(1, uint64(t.code)) }

func moment(at time.Time) *message {
	return new(message).number(1, uint64(at.Unix())).number(2, uint64(at.Nanosecond()))
}

func (t *task) status() *message {
	m := new(message).text(1, t.ID).text(2, t.Name)
	select {
	case <-t.ended:
		return m.number(3, 2).in(4, moment(t.Started)).in(5, moment(t.when)).in(6, t.exit())
	default:
		return m.number(3, 1).in(4, moment(t.Started)).in(5, moment(time.Unix(0, 0)))
	}
}
