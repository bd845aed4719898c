package link

import (
	"context"

	"google.golang.org/grpc/metadata"
)

// What travels with every call of a node.
const (
	nodeKey      = "steppe-node"
	secretKey    = "steppe-node-secret-bin" // -bin: any bytes are allowed
	forwardedKey = "steppe-forwarded"
)

// Caller is which node a call is made for.
type Caller struct {
	NodeID, SecretID string
	// Forwarded says that another server passes the node's call on.
	Forwarded bool
}

// Outgoing adds the caller to the calls made with the context it returns.
func (c Caller) Outgoing(ctx context.Context) context.Context {
	pairs := []string{nodeKey, c.NodeID, secretKey, c.SecretID}
	if c.Forwarded {
		pairs = append(pairs, forwardedKey, "1")
	}
	return metadata.AppendToOutgoingContext(ctx, pairs...)
}

// IncomingCaller reads who an incoming call says it is for.
func IncomingCaller(ctx context.Context) Caller {
	md, _ := metadata.FromIncomingContext(ctx)
	one := func(key string) string {
		if v := md.Get(key); len(v) == 1 {
			return v[0]
		}
		return ""
	}
	return Caller{NodeID: one(nodeKey), SecretID: one(secretKey), Forwarded: one(forwardedKey) != ""}
}
