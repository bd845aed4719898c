package alloc

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/internal/loop"
)

func forwardVerb() connect.Verb {
	return connect.Verb{
		Name: "port-forward", Usage: "reach a port of an allocation on this machine", Args: []string{"<alloc id>", "<[local:]port>"},
		Help: "Listens on 127.0.0.1 and carries each connection to the port, which is given by its number or its label, until Ctrl-C.\n" +
			"Without a local port it is the same number, or any free one for a label.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "job", Usage: "the argument is a job: choose one of its allocations"},
			&cli.StringFlag{Name: "group", Usage: "with -job: `name` of the group"},
		},
		Do: forward,
	}
}

func forward(ctx context.Context, c *connect.Call) error {
	local, port, err := splitPorts(c.Arg(1))
	if err != nil {
		return err
	}
	a, q, err := pick(ctx, c, c.Arg(0), false)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", local))
	if err != nil {
		return term.Fail("Error listening on local port %s: %v", local, err)
	}
	end := context.AfterFunc(ctx, func() { _ = listener.Close() }) // ends the loop below
	defer end()
	c.Printf("Forwarding from %s to port %s of allocation %s\n", listener.Addr(), port, a.ID[:8])
	return carryAll(ctx, c, listener, a.ID, port, q)
}

// carryAll carries each connection until ctx ends. One that fails is told and
// leaves the others.
func carryAll(ctx context.Context, c *connect.Call, listener net.Listener, allocID, port string, q *api.Query) error {
	group := loop.New(ctx)
	for {
		conn, err := listener.Accept()
		if err != nil {
			group.Stop()
			_ = group.Wait() // its functions return nil
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return term.Fail("Error accepting a connection: %v", err)
		}
		group.Go("forward", func(ctx context.Context) error {
			if err := c.Client.Forward(ctx, allocID, port, conn, q); err != nil && ctx.Err() == nil {
				c.Errorf("%v\n", err)
			}
			return nil
		})
	}
}

// splitPorts reads [LOCAL:]PORT.
func splitPorts(text string) (local, port string, err error) {
	local, port, both := strings.Cut(text, ":")
	if !both {
		port = local
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			local = "0" // a label says nothing of a number
		}
	}
	if n, err := strconv.ParseUint(local, 10, 16); port == "" || err != nil || n > 65535 {
		return "", "", term.Fail("%q is no port: give PORT or LOCAL:PORT", text)
	}
	return local, port, nil
}
