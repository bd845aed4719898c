package nodeapi

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

func TestPortsOfAnAllocationAreFoundByLabelAndNumber(t *testing.T) {
	a := &structs.Allocation{AllocatedResources: &structs.AllocatedResources{Shared: structs.AllocatedSharedResources{Ports: []structs.PortMapping{
		{Label: "http", Value: 23456, To: 8080, HostIP: "10.0.0.1"}, {Label: "any", Value: 9000, HostIP: "0.0.0.0"}, {Label: "same", Value: 9001, To: -1},
	}}}}
	bridge := &structs.AllocNetworkStatus{Address: "172.26.64.5"}
	for _, c := range []struct {
		network       *structs.AllocNetworkStatus
		port, address string
		status        int
	}{
		{nil, "http", "10.0.0.1:23456", 0}, {nil, "8080", "10.0.0.1:23456", 0}, {nil, "23456", "10.0.0.1:23456", 0},
		{nil, "any", "127.0.0.1:9000", 0}, {nil, "9001", "127.0.0.1:9001", 0},
		{nil, "4646", "", 403}, {nil, "22", "", 403}, {nil, "nope", "", 404}, {nil, "", "", 400}, {nil, "0", "", 404}, {nil, "-1", "", 404}, {nil, "65536", "", 404},
		{nil, "127.0.0.1:4646", "", 404}, {nil, "http@evil:1", "", 404},
		{bridge, "http", "172.26.64.5:8080", 0}, {bridge, "same", "172.26.64.5:9001", 0}, {bridge, "5432", "172.26.64.5:5432", 0}, {bridge, "nope", "", 404},
	} {
		got, err := portAddress(a, c.network, c.port)
		if got != c.address || (err == nil) != (c.status == 0) || err != nil && statusOf(err) != c.status {
			t.Errorf("port %q, network %v: %q, %v; want %q, %d", c.port, c.network, got, err, c.address, c.status)
		}
	}
}

// echo answers each connection with what it sends, and then says goodbye.
func echo(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	group := loop.New(context.Background())
	group.Go("accept", func(context.Context) error {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return nil // closed below
			}
			group.Go("echo", func(context.Context) error {
				defer func() { _ = conn.Close() }() // the peer has all
				if _, err := io.Copy(conn, conn); err != nil {
					return nil // the peer is gone
				}
				_, _ = io.WriteString(conn, "goodbye") // the peer may be gone
				return nil
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().(*net.TCPAddr).Port
}

func TestAPortIsForwarded(t *testing.T) {
	port := echo(t)
	n := newNode(t, false)
	a := *n.runner.Alloc()
	a.AllocatedResources = &structs.AllocatedResources{Shared: structs.AllocatedSharedResources{Ports: []structs.PortMapping{{Label: "http", Value: port}}}}
	if err := n.runner.Update(&a); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	target := strings.Replace(n.url("/v1/steppe/allocation/ID/forward", "port", "http"), "http", "ws", 1)
	conn, _, err := websocket.Dial(ctx, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }() // closed in good order before
	for _, text := range []string{"hello ", "world", ""} {
		if err := conn.Write(ctx, websocket.MessageBinary, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	got := ""
	for {
		_, data, err := conn.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) == 0 {
			break
		}
		got += string(data)
	}
	if got != "hello worldgoodbye" {
		t.Errorf("it answers %q", got)
	}
	if _, _, err := conn.Read(ctx); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("the session ends with %v", err)
	}
	if status, body := n.get("/v1/steppe/allocation/ID/forward", "port", "1"); status != http.StatusForbidden {
		t.Errorf("a port of the host's: %d %s", status, body)
	}
	if status, body := newNode(t, true).get("/v1/steppe/allocation/ID/forward", "port", "http"); status != http.StatusForbidden {
		t.Errorf("where it is switched off: %d %s", status, body)
	}
}
