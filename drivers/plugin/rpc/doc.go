// Package rpc speaks the driver protocol over gRPC, on both sides: Server
// puts a drivers.Driver behind the wire, Driver is one that stands in front
// of it. Messages are turned into the contract's values here and nowhere else.
//
// It must not know processes, handshakes, configuration files or HCL. Begin
// reading at Server and Driver.
package rpc
