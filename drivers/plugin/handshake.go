package plugin

import (
	"context"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/steppe-run/steppe/drivers/plugin/rpc"
)

// handshake is what both sides must agree on before they talk; the values are
// those of the public protocol.
func handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{
		ProtocolVersion:  2,
		MagicCookieKey:   "NOMAD_PLUGIN_MAGIC_COOKIE",
		MagicCookieValue: "e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255",
	}
}

// The names under which a plugin's services are dispensed.
const (
	kindBase   = "base"
	kindDriver = "driver"
)

// lifelineEnv tells a built-in plugin the descriptor of a pipe whose other end
// only its agent holds: when it breaks, the agent is gone and so is the
// plugin's reason to be.
const lifelineEnv = "STEPPE_PLUGIN_LIFELINE"

// service is one of a plugin's services, for the library's plugin set.
type service struct {
	plugin.NetRPCUnsupportedPlugin
	register func(grpc.ServiceRegistrar)
}

// GRPCServer implements plugin.GRPCPlugin for the subprocess.
func (s *service) GRPCServer(_ *plugin.GRPCBroker, server *grpc.Server) error {
	s.register(server)
	return nil
}

// connection is what the agent's side dispenses: the driver, and a context
// that ends with the process.
type connection struct {
	driver *rpc.Driver
	alive  context.Context
}

// GRPCClient implements plugin.GRPCPlugin for the agent.
func (s *service) GRPCClient(ctx context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return &connection{driver: rpc.NewDriver(conn), alive: ctx}, nil
}
