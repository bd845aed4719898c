package examples

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/steppe-run/steppe/command"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/httpapi"
	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/link/certs"
	"github.com/steppe-run/steppe/server"
	"github.com/steppe-run/steppe/structs"
)

var write = flag.Bool("write", false, "write what the program prints into the page")

// TestPage runs the page's commands in their order.
func TestPage(t *testing.T) {
	path, err := filepath.Abs("../../docs/placement.md")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	got := w.page(strings.Split(string(text), "\n"))
	if *write {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != string(text) {
		t.Errorf("docs/placement.md shows what the program doesn't print: go test ./tools/examples -write\n%s", got)
	}
}

// world is the cluster of the page: a real server, nodes that only exist on
// paper.
type world struct {
	t     *testing.T
	srv   *server.Server
	url   string
	shown map[string]string // by real id: the page's
}

func newWorld(t *testing.T) *world {
	identity, err := certs.DevCA(filepath.Join(t.TempDir(), "ca"), "global", certs.RoleServer)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(server.Config{
		Name: "page", Region: "global", DataDir: t.TempDir(), Dev: true, TLS: identity, Version: "0.0.1",
		LinkAddr: "127.0.0.1:0", SerfAddr: "127.0.0.1:0", HeartbeatGrace: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	api, err := httpapi.New(door.Config{Name: "page", Region: "global", Server: srv})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	group := loop.New(ctx)
	group.Go("server", srv.Run)
	group.Go("api", func(ctx context.Context) error { return door.Serve(ctx, l, api) })
	t.Cleanup(func() {
		cancel()
		_ = group.Wait() // it was told to end
	})
	testx.Eventually(t, 30*time.Second, "the server leads", srv.Leading)
	t.Chdir(t.TempDir())
	return &world{t: t, srv: srv, url: "http://" + l.Addr().String(), shown: map[string]string{}}
}

// page reads the page line by line: a table of nodes, job files and commands
// with what they print.
func (w *world) page(lines []string) string {
	var out []string
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		out = append(out, line)
		switch {
		case strings.HasPrefix(line, "| node |"):
			for i+1 < len(lines) && strings.HasPrefix(lines[i+1], "|") {
				i++
				out = append(out, lines[i])
				w.node(lines[i])
			}
		case line == "```hcl" || line == "```console":
			var block []string
			for i++; i < len(lines) && lines[i] != "```"; i++ {
				block = append(block, lines[i])
			}
			if line == "```hcl" {
				w.file(block)
			} else {
				block = w.console(block)
			}
			out = append(append(out, block...), "```")
		}
	}
	return strings.Join(out, "\n")
}

// node draws a row of the table: node, datacenter, class, rack, MHz, MiB.
func (w *world) node(row string) {
	cells := strings.Split(strings.Trim(row, "| "), "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	if len(cells) != 6 || strings.HasPrefix(cells[0], "-") {
		return
	}
	n := len(w.shown) + 1
	id := fmt.Sprintf("%08x-0000-4000-8000-000000000000", 0xa0000000+n)
	w.shown[id] = id
	_, _, err := w.srv.RegisterNode(w.t.Context(), &structs.Node{
		ID: id, SecretID: id, Name: cells[0], Datacenter: cells[1], NodeClass: cells[2], NodePool: structs.NodePoolDefault,
		HTTPAddr: "127.0.0.1:4646", Status: structs.NodeStatusReady, SchedulingEligibility: structs.NodeEligible,
		Meta: map[string]string{"rack": cells[3]}, Attributes: map[string]string{"kernel.name": "linux", "nomad.version": "2.0.6"},
		Drivers: map[string]*structs.DriverInfo{"docker": {Detected: true, Healthy: true}},
		NodeResources: &structs.NodeResources{
			Cpu: structs.NodeCpuResources{CpuShares: w.number(cells[4])}, Memory: structs.NodeMemoryResources{MemoryMB: w.number(cells[5])},
			Disk: structs.NodeDiskResources{DiskMB: 100_000}, MinDynamicPort: 20_000, MaxDynamicPort: 32_000,
			Networks: []*structs.NetworkResource{{Mode: structs.NetworkModeHost, Device: "eth0", IP: fmt.Sprintf("10.0.0.%d", n)}},
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) number(text string) int64 {
	n, err := strconv.ParseInt(strings.ReplaceAll(text, ",", ""), 10, 64)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// file stores a job file; its first line is a comment with its name.
func (w *world) file(block []string) {
	name, ok := strings.CutPrefix(block[0], "# ")
	if !ok {
		return // only a part of a file
	}
	if err := os.WriteFile(name, []byte(strings.Join(block, "\n")+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// console runs the commands of a block and returns the block as it should be.
func (w *world) console(block []string) []string {
	var out []string
	for _, line := range block {
		text, ok := strings.CutPrefix(line, "$ ")
		if !ok {
			continue
		}
		if len(out) > 0 {
			out = append(out, "")
		}
		out = append(out, line)
		printed := strings.TrimRight(w.run(strings.Fields(text)), "\n")
		out = append(out, strings.Split(printed, "\n")...)
	}
	return out
}

func (w *world) run(args []string) string {
	for i, arg := range args {
		for real, shown := range w.shown {
			if len(arg) >= 8 && strings.HasPrefix(shown, arg) {
				args[i] = real
			}
		}
	}
	env := map[string]string{"STEPPE_ADDR": w.url, "NOMAD_CLI_SHOW_HINTS": "false"}
	var out bytes.Buffer
	s := term.System()
	s.Out, s.Err, s.Getenv = &out, &out, func(name string) string { return env[name] }
	command.Main(w.t.Context(), args, s)
	testx.Eventually(w.t, 30*time.Second, "nothing is left to schedule", w.idle)
	w.learn()
	return w.same(out.String())
}

// idle tells that no evaluation waits for its turn.
func (w *world) idle() bool {
	for range w.srv.Store().Snapshot().EvalsByStatus(structs.EvalStatusPending) {
		return false
	}
	return true
}

// learn gives allocations ids that are the same each time: by job and name.
func (w *world) learn() {
	snap := w.srv.Store().Snapshot()
	for {
		var next *structs.Allocation
		for a := range snap.Allocs(structs.AllNamespaces, "") {
			if w.shown[a.ID] == "" && (next == nil || a.JobID+a.Name < next.JobID+next.Name) {
				next = a
			}
		}
		if next == nil {
			return
		}
		w.shown[next.ID] = fmt.Sprintf("%08x-0000-4000-8000-000000000000", 0xc0000000+len(w.shown))
	}
}

var (
	anyID   = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	anyTime = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)
)

// same replaces what differs from run to run.
func (w *world) same(text string) string {
	for real, shown := range w.shown {
		text = strings.ReplaceAll(text, real, shown)
		text = strings.ReplaceAll(text, real[:8], shown[:8])
	}
	text = anyID.ReplaceAllStringFunc(text, func(id string) string {
		if strings.HasSuffix(id, "-0000-4000-8000-000000000000") {
			return id
		}
		return "e0000000-0000-4000-8000-000000000000"
	})
	return anyTime.ReplaceAllString(text, "2026-01-02T15:04:05Z")
}
