//go:build linux

package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

// confined says that this process has network and mounts of its own.
const confined = "STEPPE_TEST_CONFINED"

const patience = 5 * time.Second

// TestMain runs everything in a network namespace of its own, with mounts of
// its own: nothing of it reaches the machine.
func TestMain(m *testing.M) {
	if os.Geteuid() != 0 || os.Getenv(confined) != "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), confined+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Unshareflags: 0, Pdeathsig: syscall.SIGKILL,
	}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	case err != nil:
		fmt.Println("no namespaces for the tests:", err)
		os.Exit(m.Run())
	}
}

// node is a machine of its own, with an outside world on a cable.
type node struct {
	t       *testing.T
	cfg     Config
	manager *Manager
	world   string // the namespace of the outside
}

// The addresses of the node and of the host outside.
const (
	nodeAddr  = "10.77.0.1"
	worldAddr = "10.77.0.2"
)

func newNode(t *testing.T, change func(*Config)) *node {
	t.Helper()
	if os.Getenv(confined) == "" {
		t.Skip("takes root and network namespaces")
	}
	dir := t.TempDir()
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	n := &node{t: t, world: filepath.Join(dir, "world"), cfg: Config{
		Dir: filepath.Join(dir, "records"), Owner: "0123456789", Namespaces: filepath.Join(dir, "netns"),
		DefaultAddress: func() string { return nodeAddr }, GuardedPorts: []int{4646}, Clock: clock.Real{},
	}}
	if change != nil {
		change(&n.cfg)
	}
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	must(t, netlink.LinkSetUp(lo))
	n.outside()
	n.open()
	t.Cleanup(func() {
		n.manager.Sweep(t.Context(), func(string) bool { return false })
		n.nothingLeft()
		must(t, removeNamespace(n.world))
		must(t, unplug("uplink"))
	})
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open is what an agent does that starts.
func (n *node) open() {
	n.t.Helper()
	m, err := New(n.cfg)
	must(n.t, err)
	n.manager = m
}

// outside makes the world beyond the node.
func (n *node) outside() {
	n.t.Helper()
	must(n.t, makeNamespace(context.Background(), n.world))
	space, err := netns.GetFromPath(n.world)
	must(n.t, err)
	defer func() { _ = space.Close() }()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "uplink"
	must(n.t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(space)}))
	link, err := netlink.LinkByName("uplink")
	must(n.t, err)
	must(n.t, addAddress(nil, link, netip.MustParsePrefix(nodeAddr+"/24")))
	must(n.t, addAddress(nil, link, netip.MustParsePrefix("fd77::1/64")))
	must(n.t, netlink.LinkSetUp(link))
	h, err := netlink.NewHandleAt(space)
	must(n.t, err)
	defer h.Close()
	peer, err := h.LinkByName("eth0")
	must(n.t, err)
	must(n.t, addAddress(h, peer, netip.MustParsePrefix(worldAddr+"/24")))
	must(n.t, addAddress(h, peer, netip.MustParsePrefix("fd77::2/64")))
	must(n.t, h.LinkSetUp(peer))
	// Whoever is outside may well know the way to the bridge.
	must(n.t, h.RouteAdd(&netlink.Route{LinkIndex: peer.Attrs().Index, Dst: ipNet(netip.MustParsePrefix(DefaultSubnet)), Gw: net.ParseIP(nodeAddr)}))
}

func (n *node) make(id string, ports ...structs.PortMapping) *Made {
	n.t.Helper()
	made, err := n.manager.Make(n.t.Context(), Wanted{AllocID: id, Mode: structs.NetworkModeBridge, Hostname: "web", Ports: ports})
	must(n.t, err)
	return made
}

// nothingLeft fails if anything of any network is there.
func (n *node) nothingLeft() {
	n.t.Helper()
	links, err := netlink.LinkList()
	must(n.t, err)
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, "veth") || l.Type() == "bridge" {
			n.t.Errorf("the interface %s is left", l.Attrs().Name)
		}
	}
	c, err := dialRules()
	must(n.t, err)
	defer func() { _ = c.CloseLasting() }()
	tables, err := c.ListTables()
	must(n.t, err)
	for _, table := range tables {
		if strings.HasPrefix(table.Name, "steppe") {
			n.t.Errorf("the table %s is left", table.Name)
		}
	}
	for _, dir := range []string{n.cfg.Dir, n.cfg.Namespaces} {
		if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
			n.t.Errorf("files are left: %v %v", left, err)
		}
	}
}

// in calls f in a network namespace; empty is the node's.
func in(t *testing.T, path string, f func() error) error {
	t.Helper()
	if path == "" {
		return f()
	}
	group := loop.New(context.Background())
	group.Go("in", func(context.Context) error {
		runtime.LockOSThread()
		space, err := netns.GetFromPath(path)
		if err != nil {
			return err
		}
		defer func() { _ = space.Close() }()
		if err := netns.Set(space); err != nil {
			return err
		}
		return f()
	})
	return group.Wait()
}

// serve answers every connection to an address in a namespace with a name and
// the address of who asks, until the test ends.
func serve(t *testing.T, path, addr, name string) {
	t.Helper()
	var tcp net.Listener
	var udp net.PacketConn
	must(t, in(t, path, func() (err error) {
		if tcp, err = net.Listen("tcp", addr); err != nil {
			return err
		}
		udp, err = net.ListenPacket("udp", addr)
		return err
	}))
	group := loop.New(context.Background())
	group.Go("tcp", func(context.Context) error {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return nil
			}
			host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			_, _ = fmt.Fprintf(c, "%s %s", name, host)
			_ = c.Close()
		}
	})
	group.Go("udp", func(context.Context) error {
		buf := make([]byte, 100)
		for {
			_, from, err := udp.ReadFrom(buf)
			if err != nil {
				return nil
			}
			host, _, _ := net.SplitHostPort(from.String())
			_, _ = udp.WriteTo([]byte(name+" "+host), from)
		}
	})
	t.Cleanup(func() {
		_ = tcp.Close()
		_ = udp.Close()
		_ = group.Wait()
	})
}

// ask connects from a namespace and returns the answer.
func ask(t *testing.T, path, protocol, addr string, within time.Duration) (string, error) {
	t.Helper()
	var answer []byte
	err := in(t, path, func() error {
		c, err := net.DialTimeout(protocol, addr, within)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		if err := c.SetDeadline(time.Now().Add(within)); err != nil {
			return err
		}
		if protocol == "udp" {
			if _, err := c.Write([]byte("?")); err != nil {
				return err
			}
			answer = make([]byte, 100)
			n, err := c.Read(answer)
			answer = answer[:max(n, 0)]
			return err
		}
		answer, err = io.ReadAll(c)
		return err
	})
	return string(answer), err
}

// hears fails unless an address answers so, by both protocols.
func hears(t *testing.T, path, addr, want string) {
	t.Helper()
	for _, protocol := range []string{"tcp", "udp"} {
		got, err := ask(t, path, protocol, addr, patience)
		if err != nil || got != want {
			t.Errorf("%s %s from %s: %q %v, want %q", protocol, addr, filepath.Base(path), got, err, want)
		}
	}
}

// silent fails if an address answers.
func silent(t *testing.T, path, addr string) {
	t.Helper()
	for _, protocol := range []string{"tcp", "udp"} {
		if got, err := ask(t, path, protocol, addr, 300*time.Millisecond); err == nil {
			t.Errorf("%s %s from %s answers %q", protocol, addr, filepath.Base(path), got)
		}
	}
}

// run runs a program of the machine.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return string(out)
}
