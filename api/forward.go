package api

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/coder/websocket"

	"github.com/steppe-run/steppe/internal/loop"
)

// maxForwardFrame is how much is sent at once.
const maxForwardFrame = 16 << 10

// Forward connects local with a port of an allocation, by its label or number,
// until both sides have said all, one is gone, or ctx ends. It closes local.
func (c *Client) Forward(ctx context.Context, allocID, port string, local io.ReadWriteCloser, q *Query) error {
	conn, err := c.dial(ctx, "/v1/steppe/allocation/"+segment(allocID)+"/forward", q, map[string]string{"port": port})
	if err != nil {
		return errors.Join(fmt.Errorf("forward port %s: %w", port, err), local.Close())
	}
	defer func() { _ = conn.CloseNow() }() // the session is over either way
	conn.SetReadLimit(maxExecFrame)
	group := loop.New(ctx)
	end := context.AfterFunc(group.Context(), func() { _ = local.Close() }) // ends the read below
	defer end()
	group.Go("send", func(ctx context.Context) error { return sendLocal(ctx, conn, local) })
	group.Go("receive", func(ctx context.Context) error { return receiveRemote(ctx, conn, local) })
	err = group.Wait()
	_ = local.Close() // closed already, if the session broke
	if err == nil {
		return conn.Close(websocket.StatusNormalClosure, "")
	}
	return err
}

func sendLocal(ctx context.Context, conn *websocket.Conn, local io.Reader) error {
	buffer := make([]byte, maxForwardFrame)
	for {
		n, err := local.Read(buffer)
		if n > 0 {
			if err := conn.Write(ctx, websocket.MessageBinary, buffer[:n]); err != nil {
				return fmt.Errorf("send to the port: %w", err)
			}
		}
		if errors.Is(err, io.EOF) {
			return conn.Write(ctx, websocket.MessageBinary, nil)
		}
		if err != nil {
			return fmt.Errorf("read the local connection: %w", err)
		}
	}
}

func receiveRemote(ctx context.Context, conn *websocket.Conn, local io.Writer) error {
	for {
		_, data, err := conn.Read(ctx)
		if err != nil {
			return fmt.Errorf("receive from the port: %w", err)
		}
		if len(data) == 0 {
			if half, ok := local.(interface{ CloseWrite() error }); ok {
				return half.CloseWrite()
			}
			return nil
		}
		if _, err := local.Write(data); err != nil {
			return fmt.Errorf("write the local connection: %w", err)
		}
	}
}
