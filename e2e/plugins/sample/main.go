//go:build linux

// Command sample is a driver that runs shell scripts.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	cookieKey   = "NOMAD_PLUGIN_MAGIC_COOKIE"
	cookieValue = "e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255"

	base   = "/hashicorp.nomad.plugins.base.proto.BasePlugin/"
	driver = "/hashicorp.nomad.plugins.drivers.proto.Driver/"
)

func main() {
	if os.Getenv(cookieKey) != cookieValue {
		fmt.Fprintln(os.Stderr, "this is a plugin: an agent starts it")
		os.Exit(1)
	}
	mode := ""
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	if err := serve(mode); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(mode string) error {
	dir, err := os.MkdirTemp(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "sample")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	p := &plugin{mode: mode, tasks: map[string]*task{}}
	server := grpc.NewServer(grpc.ForceServerCodec(rawCodec{}), grpc.UnknownServiceHandler(p.handle))
	p.stop = server.Stop
	if mode == "garbage" {
		fmt.Println("Welcome to the sample driver! \x1b[31m|||||")
	} else {
		fmt.Printf("1|2|unix|%s|grpc|\n", path)
	}
	return server.Serve(listener)
}

// handle answers every call; which one it is says its name.
func (p *plugin) handle(_ any, stream grpc.ServerStream) error {
	name, _ := grpc.MethodFromServerStream(stream)
	var in raw
	if err := stream.RecvMsg(&in); err != nil {
		return err
	}
	call := &call{ctx: stream.Context(), in: parse(in), send: func(m *message) error { return stream.SendMsg(raw(m.bytes)) }}
	if done, err := p.misbehave(name, call); done {
		return err
	}
	switch {
	case strings.HasPrefix(name, base):
		return p.base(strings.TrimPrefix(name, base), call)
	case strings.HasPrefix(name, driver):
		return p.driver(strings.TrimPrefix(name, driver), call)
	case name == "/plugin.GRPCController/Shutdown":
		err := call.send(new(message))
		go p.stop()
		return err
	case name == "/grpc.health.v1.Health/Check":
		return call.send(new(message).number(1, 1)) // SERVING
	}
	return status.Errorf(codes.Unimplemented, "%s is not implemented", name)
}

// call is one call: what came, and how to answer.
type call struct {
	ctx  context.Context
	in   fields
	send func(*message) error
}

func (p *plugin) base(name string, c *call) error {
	switch name {
	case "PluginInfo":
		return c.send(new(message).number(1, 2).text(2, "v0.1.0").text(3, "0.3.0").text(4, "sample"))
	case "ConfigSchema", "SetConfig":
		return c.send(new(message))
	}
	return status.Errorf(codes.Unimplemented, "%s is not implemented", name)
}
