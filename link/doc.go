// Package link is how machines of a cluster talk: mutual TLS on one port, told
// apart by ALPN; and the node's session, over which the node asks its server by
// gRPC and the server reaches the node's own HTTP handlers. Who is who stands
// in certificates: package certs.
//
// It must not know what a server decides or how a node runs tasks, and neither
// Raft nor Serf: it carries their bytes. Begin reading at Mux and Session.
package link

// The uses of the one port, named in the TLS handshake.
const (
	// ALPNRaft carries the replicated log between servers.
	ALPNRaft = "steppe-raft"
	// ALPNSession carries sessions: a node's, or one between two servers.
	ALPNSession = "steppe-session"
	// ALPNHTTP carries requests of the public API that one agent forwards to a
	// server.
	ALPNHTTP = "steppe-http"
)
