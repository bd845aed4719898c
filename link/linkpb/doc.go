// Package linkpb holds the messages and stubs of the node link, generated from
// link.proto.
//
// It must not know anything: it is generated. Begin reading at link.proto.
package linkpb

//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative link.proto
