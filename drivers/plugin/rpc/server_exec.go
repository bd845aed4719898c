package rpc

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"

	"github.com/steppe-run/steppe/drivers"
	pb "github.com/steppe-run/steppe/drivers/plugin/wire/driver"
)

type execStream = grpc.BidiStreamingServer[pb.ExecTaskStreamingRequest, pb.ExecTaskStreamingResponse]

// ExecTaskStreaming implements the Driver service.
func (s *Server) ExecTaskStreaming(stream execStream) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	setup := first.GetSetup()
	if setup == nil {
		return toStatus(errors.New("exec: the first message must be the setup"))
	}
	stdinRead, stdinWrite := io.Pipe()
	resize := make(chan drivers.TerminalSize, 1)
	s.readers.Go("exec input", func(context.Context) error {
		readExecInput(stream, stdinWrite, resize)
		return nil
	})
	out := &execOutput{stream: stream}
	exit, err := s.driver.ExecStreaming(stream.Context(), setup.GetTaskId(), &drivers.ExecRequest{
		Command: setup.GetCommand(),
		TTY:     setup.GetTty(),
		Stdin:   stdinRead,
		Stdout:  writerFunc(func(b []byte) error { return out.send(&pb.ExecTaskStreamingResponse{Stdout: operation(b)}) }),
		Stderr:  writerFunc(func(b []byte) error { return out.send(&pb.ExecTaskStreamingResponse{Stderr: operation(b)}) }),
		Resize:  resize,
	})
	// What the client still types is for nobody.
	_ = stdinRead.Close()
	if err != nil {
		return toStatus(err)
	}
	return out.send(&pb.ExecTaskStreamingResponse{Exited: true, Result: exitToWire(exit)})
}

// readExecInput feeds a command until the client's stream ends.
func readExecInput(stream execStream, stdin *io.PipeWriter, resize chan drivers.TerminalSize) {
	defer close(resize)
	for {
		req, err := stream.Recv()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				_ = stdin.CloseWithError(err)
				return
			}
			_ = stdin.Close()
			return
		}
		if size := req.GetTtySize(); size != nil {
			// Only the newest size counts, and nobody may be looking.
			select {
			case <-resize:
			default:
			}
			resize <- drivers.TerminalSize{Height: int(size.GetHeight()), Width: int(size.GetWidth())}
		}
		in := req.GetStdin()
		if len(in.GetData()) > 0 {
			// A command that reads no more must not stop the resizes.
			_, _ = stdin.Write(in.GetData())
		}
		if in.GetClose() {
			_ = stdin.Close()
		}
	}
}

// execOutput serialises what several writers send over one stream.
type execOutput struct {
	mu     sync.Mutex
	stream execStream
}

func (o *execOutput) send(m *pb.ExecTaskStreamingResponse) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.stream.Send(m)
}

func operation(b []byte) *pb.ExecTaskStreamingIOOperation {
	return &pb.ExecTaskStreamingIOOperation{Data: b}
}

type writerFunc func([]byte) error

func (f writerFunc) Write(b []byte) (int, error) {
	if err := f(b); err != nil {
		return 0, err
	}
	return len(b), nil
}
