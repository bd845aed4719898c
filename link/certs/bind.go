package certs

import (
	"fmt"
	"net"
)

// MayBind refuses an address beyond loopback to an agent without certificates
// of its own: what the agents of one machine share is no secret to the network.
func MayBind(addr string) error {
	if onLoopback(addr) {
		return nil
	}
	return fmt.Errorf("%s is reachable from other machines, and this agent has no certificates to protect it: "+
		"make them with `steppe tls ca create` and `steppe tls cert create -server` (or -client) and name them in the tls block "+
		"(ca_file, cert_file, key_file), or bind to 127.0.0.1", addr)
}

// MayServe refuses an address beyond loopback for an API that doesn't ask
// callers who they are.
func MayServe(addr string, callersProven bool) error {
	if callersProven || onLoopback(addr) {
		return nil
	}
	return fmt.Errorf("the HTTP API at %s would obey anyone who reaches this machine: set http = \"127.0.0.1\" in the addresses block, "+
		"or http and verify_https_client to true in the tls block, or, where something else keeps strangers out, insecure_open_api = true", addr)
}

func onLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
