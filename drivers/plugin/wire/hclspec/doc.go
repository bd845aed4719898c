// Package hclspec is the generated wire form of how a driver describes its configuration. It must not know
// anything of ours: the protocol is public. Begin reading at the .proto files,
// from which generate.sh makes it.
package hclspec
