//go:build linux

package confine

import "golang.org/x/sys/unix"

const (
	machine = unix.AUDIT_ARCH_AARCH64
	// newest is the newest system call that somebody has judged.
	newest = unix.SYS_OPEN_TREE_ATTR
)

// This kind of machine has no calls of its own.
var (
	usualHere []uint32
	filesHere []fileCall
)
