package clitest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
)

const (
	agentStart = 30 * time.Second
	agentStop  = 30 * time.Second
)

// agent is a development agent in a process of its own.
type agent struct {
	address, port string
	log           string // file
	cmd           *exec.Cmd
	watch         *loop.Group
	exited        chan struct{}
}

// startAgent starts an agent that keeps everything below dir, and returns when
// it is ready for jobs.
func startAgent(dir string) (*agent, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "agent.hcl")
	// A disk that is nearly full would make the node drop what ended at once.
	text := fmt.Sprintf("name = \"rider\"\nports {\n  http = %d\n  rpc  = %d\n  serf = %d\n}\n"+
		"client {\n  gc_disk_usage_threshold  = 100\n  gc_inode_usage_threshold = 100\n}\n", ports[0], ports[1], ports[2])
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	port := strconv.Itoa(ports[0])
	a := &agent{address: "http://127.0.0.1:" + port, port: port, log: filepath.Join(dir, "agent.log"), exited: make(chan struct{})}
	log, err := os.Create(a.log)
	if err != nil {
		return nil, err
	}
	a.cmd = exec.Command("steppe", "agent", "-dev", "-config", config)
	a.cmd.Env = append(os.Environ(), "HOME="+dir, "TMPDIR="+dir)
	a.cmd.Stdout, a.cmd.Stderr = log, log
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the test
	if err := a.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start agent: %w", err), log.Close())
	}
	a.watch = loop.New(context.Background())
	a.watch.Go("agent", func(context.Context) error {
		defer close(a.exited)
		return errors.Join(a.cmd.Wait(), log.Close())
	})
	if err := a.awaitNode(); err != nil {
		return nil, errors.Join(err, a.stop(), errors.New(a.said()))
	}
	return a, nil
}

func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		port, err := testx.FindPort("127.0.0.1")
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}

// awaitNode waits until the agent's node takes jobs.
func (a *agent) awaitNode() error {
	deadline := clock.Real{}.NewTimer(agentStart)
	defer deadline.Stop()
	for {
		if a.ready() {
			return nil
		}
		step := clock.Real{}.NewTimer(50 * time.Millisecond)
		select {
		case <-a.exited:
			return errors.New("the agent ended")
		case <-deadline.C():
			return fmt.Errorf("no node was ready within %s", agentStart)
		case <-step.C():
		}
	}
}

func (a *agent) ready() bool {
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get(a.address + "/v1/nodes")
	if err != nil {
		return false
	}
	_ = resp.Body.Close() // nothing of it is needed
	if resp.StatusCode != http.StatusOK {
		return false
	}
	show := exec.Command("steppe", "node", "status", "-address", a.address, "-t", `{{range .}}{{.Status}} {{with index .Drivers "raw_exec"}}{{.Healthy}}{{end}}{{end}}`)
	out, err := show.Output()
	return err == nil && string(out) == "ready true\n"
}

// stop asks the agent to end and waits until it has.
func (a *agent) stop() error {
	_ = a.cmd.Process.Signal(os.Interrupt) // it may have ended already
	deadline := clock.Real{}.NewTimer(agentStop)
	defer deadline.Stop()
	select {
	case <-a.exited:
	case <-deadline.C():
		_ = a.cmd.Process.Kill() // it may end just now
		return errors.Join(fmt.Errorf("the agent did not end within %s, it was killed", agentStop), a.watch.Wait(), errors.New(a.said()))
	}
	if err := a.watch.Wait(); err != nil {
		return fmt.Errorf("the agent ended badly: %w\n%s", err, a.said())
	}
	return nil
}

func (a *agent) said() string {
	text, err := os.ReadFile(a.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
