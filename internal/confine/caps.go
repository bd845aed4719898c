//go:build linux

package confine

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"

	"golang.org/x/sys/unix"
)

// Caps is a set of capabilities, a bit each.
type Caps uint64

// capNames are the capabilities by number.
var capNames = []string{
	"chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap", "linux_immutable",
	"net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner", "sys_module", "sys_rawio", "sys_chroot",
	"sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice", "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease",
	"audit_write", "audit_control", "setfcap", "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read",
	"perfmon", "bpf", "checkpoint_restore",
}

// CapOf is the set of one capability by number, of unix.CAP_*.
func CapOf(number int) Caps { return 1 << number }

// AllCaps are the capabilities that we know.
func AllCaps() Caps { return 1<<len(capNames) - 1 }

// Has reports whether all of other are in the set.
func (c Caps) Has(other Caps) bool { return c&other == other }

// ParseCaps reads names such as net_bind_service, CAP_CHOWN and all.
func ParseCaps(names []string) (Caps, error) {
	var out Caps
	for _, name := range names {
		c, err := parseCap(name)
		if err != nil {
			return 0, err
		}
		out |= c
	}
	return out, nil
}

func parseCap(name string) (Caps, error) {
	plain := strings.TrimPrefix(strings.ToLower(strings.TrimSpace(name)), "cap_")
	if plain == "all" {
		return AllCaps(), nil
	}
	for number, known := range capNames {
		if known == plain {
			return CapOf(number), nil
		}
	}
	return 0, fmt.Errorf("%q is no capability: they are called like net_bind_service", name)
}

// Names lists the set, as ParseCaps takes it.
func (c Caps) Names() []string {
	var out []string
	for number, name := range capNames {
		if c.Has(CapOf(number)) {
			out = append(out, name)
		}
	}
	return out
}

// Bound takes every other capability out of the calling thread's bounding set:
// nothing that it executes can gain them.
func Bound(keep Caps) error {
	for number := range bits.Len64(^uint64(0)) {
		if keep.Has(CapOf(number)) {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(number), 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			return nil // the kernel's last one was before
		}
		if err != nil {
			return fmt.Errorf("bound capabilities: %w", err)
		}
	}
	return nil
}

// The security bits that take root's magic away, and keep capabilities over a
// change of user until the next execve.
const (
	noRoot       = 1 << 0
	noRootLocked = 1 << 1
	keepCaps     = 1 << 4
)

// OnlyByName makes user 0 a user like others for the calling thread and what it
// executes: capabilities come from its sets alone. They outlast the change of
// user that follows.
func OnlyByName() error {
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, noRoot|noRootLocked|keepCaps, 0, 0, 0); err != nil {
		return fmt.Errorf("take root's magic away: %w", err)
	}
	return nil
}

// Hold leaves the calling thread these capabilities and no others, and hands
// them to what it executes.
func Hold(set Caps) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	low, high := uint32(set), uint32(set>>32)
	data := [2]unix.CapUserData{{Effective: low, Permitted: low, Inheritable: low}, {Effective: high, Permitted: high, Inheritable: high}}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("hold capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear ambient capabilities: %w", err)
	}
	for number := range capNames {
		if !set.Has(CapOf(number)) {
			continue
		}
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(number), 0, 0); err != nil {
			return fmt.Errorf("hand capability %s on: %w", capNames[number], err)
		}
	}
	return nil
}

// Become makes the calling thread another user without further groups.
func Become(uid, gid uint32) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); errno != 0 {
		return fmt.Errorf("leave groups: %w", errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)); errno != 0 {
		return fmt.Errorf("become group %d: %w", gid, errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
		return fmt.Errorf("become user %d: %w", uid, errno)
	}
	return nil
}
