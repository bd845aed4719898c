// Package base is the generated wire form of what every plugin answers. It must not know
// anything of ours: the protocol is public. Begin reading at the .proto files,
// from which generate.sh makes it.
package base
