package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/steppe-run/steppe/internal/testx"
)

// binary is what the tests run; TestMain builds it, unless STEPPE_E2E_BINARY names one.
var binary string

// workshop holds what the tests build, until the last has ended.
var workshop string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if binary = os.Getenv(confinedEnv); binary != "" {
		return m.Run() // for a test that wants a network of its own
	}
	dir, err := os.MkdirTemp("", "steppe-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary folder
	workshop = dir
	if binary = os.Getenv("STEPPE_E2E_BINARY"); binary != "" {
		return m.Run() // one that was built already
	}
	binary = filepath.Join(dir, "steppe")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "..") // as make does it: the cache is warm
	build.Env = append(os.Environ(), "CGO_ENABLED=0")                     // runs in an empty image too
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build steppe:", err)
		return 1
	}
	return m.Run()
}

// ports are one agent's ports.
type ports struct{ http, rpc, serf int }

func freePorts(t *testing.T, host string) ports {
	return ports{testx.FreePort(t, host), testx.FreePort(t, host), testx.FreePort(t, host)}
}

// agent is a real agent in a process of its own.
type agent struct {
	t     *testing.T
	name  string
	host  string
	ports ports
	dir   string // holds config, data and log
	home  string
	args  []string // beyond the configuration
	// program is what is run, env what its environment has beyond ours.
	program string
	env     []string
	cmd     *exec.Cmd
	exited  chan error
	api     *api.Client
}

// newAgent writes the configuration of an agent on host; extra is added to it.
// Agents of one test share a home folder, and so their certificate authority.
func newAgent(t *testing.T, home, name, host, extra string) *agent {
	t.Helper()
	a := &agent{t: t, name: name, host: host, ports: freePorts(t, host), dir: t.TempDir(), home: home, program: binary}
	config := fmt.Sprintf(`
name      = %q
data_dir  = %q
bind_addr = %q
log_level = "INFO"
ports {
  http = %d
  rpc  = %d
  serf = %d
}
plugin "raw_exec" {
  config { enabled = true }
}
%s`, name, filepath.Join(a.dir, "data"), host, a.ports.http, a.ports.rpc, a.ports.serf, extra)
	if err := os.WriteFile(filepath.Join(a.dir, "agent.hcl"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.cleanup)
	return a
}

// start runs the agent's process.
func (a *agent) start() *agent {
	a.t.Helper()
	logFile, err := os.OpenFile(filepath.Join(a.dir, "agent.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		a.t.Fatal(err)
	}
	a.cmd = exec.Command(a.program, append([]string{"agent", "-config", filepath.Join(a.dir, "agent.hcl")}, a.args...)...)
	a.cmd.Env = append(append(os.Environ(), "HOME="+a.home), a.env...)
	a.cmd.Stdout, a.cmd.Stderr = logFile, logFile
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := a.cmd.Start(); err != nil {
		a.t.Fatalf("start agent %s: %v", a.name, err)
	}
	a.exited = make(chan error, 1)
	go func(cmd *exec.Cmd, exited chan error) {
		exited <- cmd.Wait()
		_ = logFile.Close() // the process is gone
	}(a.cmd, a.exited)
	return a
}

// kill ends the agent's process as a crash would.
func (a *agent) kill() {
	a.t.Helper()
	if err := a.cmd.Process.Kill(); err != nil {
		a.t.Fatalf("kill agent %s: %v", a.name, err)
	}
	_ = a.wait(10 * time.Second) // "signal: killed", as it should be
}

// stop asks the agent to end.
func (a *agent) stop() error {
	a.t.Helper()
	if err := a.cmd.Process.Signal(os.Interrupt); err != nil {
		a.t.Fatalf("stop agent %s: %v", a.name, err)
	}
	return a.wait(30 * time.Second)
}

func (a *agent) wait(within time.Duration) error {
	a.t.Helper()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case err := <-a.exited:
		a.cmd = nil
		return err
	case <-timer.C:
		a.t.Fatalf("agent %s did not end within %s", a.name, within)
		return nil
	}
}

// cleanup stops every task, then the agent, and shows the log of a failed test.
func (a *agent) cleanup() {
	if a.cmd != nil {
		_ = a.cmd.Process.Signal(os.Interrupt) // it may be gone already
		timer := time.NewTimer(20 * time.Second)
		select {
		case err := <-a.exited:
			a.t.Logf("agent %s ended: %v", a.name, err)
		case <-timer.C:
			a.t.Errorf("agent %s had to be killed", a.name)
			_ = a.cmd.Process.Kill() // as above
			a.t.Logf("agent %s ended: %v", a.name, <-a.exited)
		}
		timer.Stop()
	}
	a.endLeftovers()
	a.unmount()
	if a.t.Failed() {
		if log, err := os.ReadFile(filepath.Join(a.dir, "agent.log")); err == nil {
			lines := strings.Split(string(log), "\n")
			a.t.Logf("log of %s, last lines:\n%s", a.name, strings.Join(lines[max(0, len(lines)-60):], "\n"))
		}
	}
}

// endLeftovers ends what the agent left running on purpose: tasks outlive it.
// They are known by the agent's folder in their arguments or environment.
func (a *agent) endLeftovers() {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		a.t.Error(err)
	}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline")) // gone meanwhile, or not ours
		vars, _ := os.ReadFile(filepath.Join(dir, "environ")) // as above
		if strings.Contains(string(line)+string(vars), a.dir) {
			_ = syscall.Kill(pid, syscall.SIGKILL) // gone meanwhile
		}
	}
}

// unmount undoes what the agent mounted for allocations that it left running.
func (a *agent) unmount() {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		a.t.Error(err)
	}
	for _, line := range strings.Split(string(mounts), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 2 || !strings.HasPrefix(fields[1], a.dir+"/") {
			continue
		}
		if err := syscall.Unmount(fields[1], syscall.MNT_DETACH); err != nil {
			a.t.Errorf("unmount %s: %v", fields[1], err)
		}
	}
}

func (a *agent) url() string { return fmt.Sprintf("http://%s:%d", a.host, a.ports.http) }

// client is the published Go client, talking to this agent.
func (a *agent) client() *api.Client {
	a.t.Helper()
	if a.api != nil {
		return a.api // a new one would keep connections of its own
	}
	c, err := api.NewClient(&api.Config{Address: a.url()})
	if err != nil {
		a.t.Fatal(err)
	}
	a.api = c
	return c
}

// awaitLeader waits until the agent knows a leader.
func (a *agent) awaitLeader() {
	a.t.Helper()
	testx.Eventually(a.t, 20*time.Second, a.name+" knows a leader", func() bool {
		leader, err := a.client().Status().Leader()
		return err == nil && leader != ""
	})
}

// awaitNodes waits until n nodes are ready.
func (a *agent) awaitNodes(n int) {
	a.t.Helper()
	testx.Eventually(a.t, 30*time.Second, fmt.Sprintf("%d nodes are ready", n), func() bool {
		nodes, _, err := a.client().Nodes().List(nil)
		ready := 0
		for _, node := range nodes {
			if node.Status == api.NodeStatusReady {
				ready++
			}
		}
		return err == nil && ready == n
	})
}

// cli runs a command against this agent and returns its output and exit code.
func (a *agent) cli(args ...string) (string, int) {
	a.t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), "HOME="+a.home, "STEPPE_ADDR="+a.url())
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(out), exit.ExitCode()
	}
	if err != nil {
		a.t.Fatalf("run %v: %v", args, err)
	}
	return string(out), 0
}

func httpGet(url string) (int, error) {
	c := http.Client{Timeout: 3 * time.Second}
	resp, err := c.Get(url)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}
