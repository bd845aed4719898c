package rpc

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"

	"github.com/steppe-run/steppe/drivers"
	pb "github.com/steppe-run/steppe/drivers/plugin/wire/driver"
	"github.com/steppe-run/steppe/internal/loop"
)

// ExecStreaming implements drivers.Commander.
func (d *Driver) ExecStreaming(ctx context.Context, taskID string, req *drivers.ExecRequest) (*drivers.ExitResult, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := d.rpc.ExecTaskStreaming(ctx)
	if err != nil {
		return nil, fromStatus(ctx, err)
	}
	in := &execInput{stream: stream}
	in.send(&pb.ExecTaskStreamingRequest{Setup: &pb.ExecTaskStreamingRequest_Setup{TaskId: taskID, Command: req.Command, Tty: req.TTY}})
	feeders := loop.New(ctx)
	if req.Stdin != nil {
		feeders.Go("exec stdin", func(context.Context) error { in.copyFrom(req.Stdin); return nil })
	} else {
		in.send(&pb.ExecTaskStreamingRequest{Stdin: &pb.ExecTaskStreamingIOOperation{Close: true}})
	}
	if req.Resize != nil {
		feeders.Go("exec resize", func(ctx context.Context) error { in.follow(ctx, req.Resize); return nil })
	}
	exit, err := receiveExec(ctx, stream, req)
	if closer, ok := req.Stdin.(io.Closer); ok {
		_ = closer.Close()
	}
	feeders.Stop()
	_ = feeders.Wait()
	return exit, err
}

// receiveExec hands out a command's output until it has exited.
func receiveExec(ctx context.Context, stream grpc.BidiStreamingClient[pb.ExecTaskStreamingRequest, pb.ExecTaskStreamingResponse], req *drivers.ExecRequest) (*drivers.ExitResult, error) {
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("exec: the driver ended the stream without an exit status")
		}
		if err != nil {
			return nil, fromStatus(ctx, err)
		}
		if err := writeAll(req.Stdout, r.GetStdout().GetData()); err != nil {
			return nil, err
		}
		if err := writeAll(req.Stderr, r.GetStderr().GetData()); err != nil {
			return nil, err
		}
		if r.GetExited() {
			exit := exitFromWire(r.GetResult())
			if exit == nil {
				return nil, errors.New("exec: the driver told no exit status")
			}
			return exit, nil
		}
	}
}

func writeAll(w io.Writer, b []byte) error {
	if w == nil || len(b) == 0 {
		return nil
	}
	_, err := w.Write(b)
	return err
}

// execInput serialises what is sent to a command. Failures are dropped: the
// receiving side of the stream tells them.
type execInput struct {
	mu     sync.Mutex
	stream grpc.BidiStreamingClient[pb.ExecTaskStreamingRequest, pb.ExecTaskStreamingResponse]
}

func (in *execInput) send(m *pb.ExecTaskStreamingRequest) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.stream.Send(m) == nil
}

func (in *execInput) copyFrom(r io.Reader) {
	buf := make([]byte, 16<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 && !in.send(&pb.ExecTaskStreamingRequest{Stdin: operation(buf[:n])}) {
			return
		}
		if err != nil {
			in.send(&pb.ExecTaskStreamingRequest{Stdin: &pb.ExecTaskStreamingIOOperation{Close: true}})
			return
		}
	}
}

func (in *execInput) follow(ctx context.Context, sizes <-chan drivers.TerminalSize) {
	for {
		select {
		case <-ctx.Done():
			return
		case size, ok := <-sizes:
			if !ok {
				return
			}
			in.send(&pb.ExecTaskStreamingRequest{TtySize: &pb.ExecTaskStreamingRequest_TerminalSize{Height: int32(size.Height), Width: int32(size.Width)}})
		}
	}
}
