package certs

import (
	"fmt"
	"net"
)

// MayBind refuses an address beyond loopback unless the agent has certificates
// of its own: what the agents of one machine share is no secret to the network.
func MayBind(addr string, haveFiles bool) error {
	if haveFiles {
		return nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	if host == "localhost" {
		return nil
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s is reachable from other machines, and this agent has no certificates to protect it: "+
		"make them with `steppe tls ca create` and `steppe tls cert create -server` (or -client) and name them in the tls block "+
		"(ca_file, cert_file, key_file), or bind to 127.0.0.1", addr)
}
