//go:build linux

package confine

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	readRights  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	writeRights = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR |
		unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG |
		unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_REFER
	// fileRights are those that mean something for a file.
	fileRights = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_READ_FILE |
		unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	// nodeRights are those that make devices.
	nodeRights = unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK
)

// rightsSince are the file rights that each version of Landlock knows.
var rightsSince = []uint64{0, 0x1fff, 0x3fff, 0x7fff, 0x7fff, 0xffff}

// Grant gives rights, of unix.LANDLOCK_ACCESS_FS_*, on a file or on a folder
// with all below it.
type Grant struct {
	Path   string
	Rights uint64
}

// LandlockVersion is the version of Landlock that the kernel offers, 0 if none.
func LandlockVersion() int {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(version)
}

// Fence leaves the calling thread, and what it executes, the granted rights on
// files and no others, and shuts it in by scope, of unix.LANDLOCK_SCOPE_*. A
// path that isn't there is left out, a right that the kernel doesn't know isn't
// asked for, and without Landlock it does nothing. It needs NoNewPrivileges.
func Fence(grants []Grant, scope uint64) error {
	return fence(grants, rightsSince[len(rightsSince)-1], scope)
}

// NoDevices keeps the calling thread, and what it executes, from making device
// nodes, and shuts it in by scope; nothing else changes for it.
func NoDevices(scope uint64) error { return fence(nil, nodeRights, scope) }

// fence governs only the handled rights.
func fence(grants []Grant, handled, scope uint64) error {
	version := LandlockVersion()
	if version == 0 {
		return nil
	}
	handled &= rightsSince[min(version, len(rightsSince)-1)]
	attr := unix.LandlockRulesetAttr{Access_fs: handled}
	size := unsafe.Sizeof(attr.Access_fs)
	if version >= 6 {
		attr.Scoped, size = scope, unsafe.Sizeof(attr)
	}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return fmt.Errorf("make Landlock rules: %w", errno)
	}
	defer func() { _ = unix.Close(int(fd)) }()
	for _, grant := range grants {
		if err := allow(int(fd), grant, handled); err != nil {
			return err
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return fmt.Errorf("apply Landlock rules: %w", errno)
	}
	return nil
}

func allow(rules int, grant Grant, handled uint64) error {
	fd, err := unix.Open(grant.Path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("grant %s: %w", grant.Path, err)
	}
	defer func() { _ = unix.Close(fd) }()
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return fmt.Errorf("grant %s: %w", grant.Path, err)
	}
	rights := grant.Rights & handled
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= fileRights
	}
	if rights == 0 {
		return nil
	}
	attr := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&attr)), 0, 0, 0)
	// A file in memory lies in no folder, and is always allowed.
	if errno != 0 && errno != unix.EBADFD {
		return fmt.Errorf("grant %s: %w", grant.Path, errno)
	}
	return nil
}
