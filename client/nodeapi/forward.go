package nodeapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"

	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

const (
	// dialPatience bounds reaching a task's port.
	dialPatience = 10 * time.Second
	// maxForwards are open at the same time on one node.
	maxForwards = 256
)

// forward connects a websocket with a port of an allocation. Its binary messages
// are what is sent; an empty one says that nothing more comes that way.
func (a *api) forward(w http.ResponseWriter, r *http.Request) error {
	runner, err := a.find(r)
	if err != nil {
		return err
	}
	if a.DisableExec {
		return fail(http.StatusForbidden, "ports are not forwarded on this node (client.disable_remote_exec)")
	}
	address, err := portAddress(runner.Alloc(), runner.Status().NetworkStatus, r.URL.Query().Get("port"))
	if err != nil {
		return err
	}
	select {
	case a.forwards <- struct{}{}:
		defer func() { <-a.forwards }()
	default:
		return fail(http.StatusTooManyRequests, "%d ports are forwarded on this node already", maxForwards)
	}
	dialCtx, cancel := context.WithTimeout(r.Context(), dialPatience)
	defer cancel()
	port, err := (&net.Dialer{}).DialContext(dialCtx, "tcp", address)
	if err != nil {
		return fail(http.StatusBadGateway, "nothing answers at the port: %w", err)
	}
	defer func() { _ = port.Close() }() // the session is over either way
	// Who may call was decided before, by Host and Origin too.
	conn, err := websocket.Accept(rawWriter(w), r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return fmt.Errorf("accept websocket: %w", err)
	}
	defer func() { _ = conn.CloseNow() }() // closed in good order before
	conn.SetReadLimit(execLimit)
	carry(r.Context(), conn, port)
	return nil
}

// carry passes on what either side sends, until both have said all or one is
// gone.
func carry(ctx context.Context, conn *websocket.Conn, port net.Conn) {
	group := loop.New(ctx)
	stop := context.AfterFunc(group.Context(), func() { _ = port.Close() }) // ends the read below
	defer stop()
	group.Go("to the port", func(ctx context.Context) error { return toPort(ctx, conn, port) })
	group.Go("from the port", func(ctx context.Context) error { return fromPort(ctx, conn, port) })
	reason := ""
	if err := group.Wait(); err != nil {
		reason = shorten(err.Error())
	}
	_ = conn.Close(websocket.StatusNormalClosure, reason) // the peer may be gone
}

// errHungUp ends a session whose caller is gone.
var errHungUp = errors.New("the caller has hung up")

func toPort(ctx context.Context, conn *websocket.Conn, port net.Conn) error {
	for {
		_, data, err := conn.Read(ctx)
		if err != nil {
			return errHungUp
		}
		if len(data) == 0 {
			if tcp, ok := port.(*net.TCPConn); ok {
				return tcp.CloseWrite()
			}
			return nil
		}
		if _, err := port.Write(data); err != nil {
			return fmt.Errorf("write to the port: %w", err)
		}
	}
}

func fromPort(ctx context.Context, conn *websocket.Conn, port net.Conn) error {
	buffer := make([]byte, execFrame)
	for {
		n, err := port.Read(buffer)
		if n > 0 {
			if err := conn.Write(ctx, websocket.MessageBinary, buffer[:n]); err != nil {
				return errHungUp
			}
		}
		if errors.Is(err, io.EOF) {
			return conn.Write(ctx, websocket.MessageBinary, nil)
		}
		if err != nil {
			return fmt.Errorf("read from the port: %w", err)
		}
	}
}

// portAddress is where a port of an allocation is reached: by its label, its
// number, or the number inside of its network. In the network of the host only
// ports that the allocation was given are its own.
func portAddress(a *structs.Allocation, network *structs.AllocNetworkStatus, wanted string) (string, error) {
	number, err := strconv.ParseUint(wanted, 10, 16)
	isNumber := err == nil && number > 0
	var own *structs.PortMapping
	if a.AllocatedResources != nil {
		for i, p := range a.AllocatedResources.Shared.Ports {
			if p.Label == wanted || isNumber && (p.Value == int(number) || p.To == int(number)) {
				own = &a.AllocatedResources.Shared.Ports[i]
				break
			}
		}
	}
	switch {
	case wanted == "":
		return "", bad("must provide a port: its number or its label")
	case own == nil && !isNumber:
		return "", fail(http.StatusNotFound, "the allocation has no port with label %q", wanted)
	case network != nil && network.Address != "":
		inside := int(number)
		if own != nil {
			if inside = own.To; inside <= 0 {
				inside = own.Value
			}
		}
		return net.JoinHostPort(network.Address, strconv.Itoa(inside)), nil
	case own == nil:
		return "", fail(http.StatusForbidden, "port %d is none of the allocation's: in the host's network only those that its job asks for can be forwarded", number)
	}
	host := own.HostIP
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, strconv.Itoa(own.Value)), nil
}
