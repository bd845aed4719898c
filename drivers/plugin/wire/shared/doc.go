// Package shared is the generated wire form of attributes and errors that drivers and devices share. It must not know
// anything of ours: the protocol is public. Begin reading at the .proto files,
// from which generate.sh makes it.
package shared
