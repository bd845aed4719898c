//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

func mount(kind, data string) func() error {
	return func() error { return unix.Mount("none", "/tmp", kind, 0, data) }
}

func call(number uintptr, args ...uintptr) func() error {
	return func() error {
		var a [6]uintptr
		copy(a[:], args)
		_, _, errno := unix.RawSyscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
		if errno != 0 {
			return errno
		}
		return nil
	}
}

// kept holds what calls point to.
var kept [][]byte

// here is a path as the kernel takes it.
func here(path string) uintptr {
	b := append([]byte(path), 0)
	kept = append(kept, b)
	return uintptr(unsafe.Pointer(&b[0]))
}

// mounts are the tries on files and mounts.
func mounts() []probe {
	return []probe{
		{"E1 mount tmpfs", mount("tmpfs", "")}, {"E2 mount proc", mount("proc", "")}, {"E3 mount sysfs", mount("sysfs", "")},
		{"E4 mount cgroups", anyOf(mount("cgroup", "memory"), mount("cgroup2", ""))},
		{"E5 write release_agent", anyOf(write("/sys/fs/cgroup/release_agent", "/x"), write("/sys/fs/cgroup/memory/notify_on_release", "1"))},
		{"E6 remount the root writable", anyOf(func() error { return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND, "") }, func() error { return unix.Mount("", "/etc", "", unix.MS_REMOUNT|unix.MS_BIND, "") })},
		{"E7 unmount what is masked", anyOf(func() error { return unix.Unmount("/proc/kcore", unix.MNT_DETACH) }, func() error { return unix.Unmount("/etc", unix.MNT_DETACH) })},
		{"E8 mount by descriptors", anyOf(func() error { _, err := unix.Fsopen("tmpfs", 0); return err }, func() error { _, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE); return err },
			func() error { return unix.MoveMount(unix.AT_FDCWD, "/tmp", unix.AT_FDCWD, "/local", 0) })},
		{"E9 change the root", anyOf(func() error { return unix.PivotRoot("/tmp", "/tmp") }, chrootOut)},
		{"E10 climb past the root", climb}, {"E11 find a descriptor left open", leftOpen},
		{"E12 begin outside of the root", func() error {
			cwd, err := os.Readlink("/proc/self/cwd")
			if err == nil && strings.HasPrefix(cwd, "/") {
				return errRefused
			}
			return nil
		}},
		{"E20 make a device", func() error {
			return anyOf(func() error { return unix.Mknod("/tmp/sda", unix.S_IFBLK|0o666, int(unix.Mkdev(254, 0))) }, func() error { return unix.Mknod("/alloc/data/mem", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 1))) })()
		}},
		{"E21 read a raw disk", anyOf(read("/dev/vda"), read("/dev/sda"), read("/dev/nvme0n1"))},
		{"E22 open devices of the machine", anyOf(open("/dev/kvm"), open("/dev/fuse"), open("/dev/loop-control"), open("/dev/net/tun"), open("/dev/kmsg"), open("/dev/mem"), open("/dev/port"))},
		{"E23 read kernel memory or addresses", anyOf(read("/proc/kcore"), read("/proc/kallsyms"), read("/proc/modules"), read("/proc/iomem"))},
		{"E24 write /proc/sys", anyOf(write("/proc/sys/kernel/core_pattern", "|/x"), write("/proc/sys/kernel/modprobe", "/x"), write("/proc/sys/fs/binfmt_misc/register", ":x:"), write("/proc/sys/vm/overcommit_memory", "1"), write("/proc/sys/net/ipv4/ip_forward", "1"))},
		{"E25 trigger sysrq", write("/proc/sysrq-trigger", "h")},
		{"E26 write /sys", anyOf(write("/sys/kernel/uevent_helper", "/x"), write("/sys/kernel/mm/ksm/run", "0"), write("/sys/power/state", ""), write("/sys/kernel/mm/transparent_hugepage/enabled", "never"))},
		{"E27 find kernel file systems", anyOf(listed("/sys/kernel/debug"), listed("/sys/kernel/tracing"), listed("/sys/kernel/security"), listed("/sys/fs/bpf"))},
		{"E36 make a set-user-ID file", suid}, {"E37 give a file capabilities", setcap},
		{"E47 write to a file of the machine", hostInode},
		{"E49 reach another task's secrets", anyOf(listed("/private"), listed("/alloc/../../"+os.Getenv("OTHER")), func() error { return os.Link("/proc/1/root/etc/passwd", "/tmp/x") })},
	}
}

func open(path string) func() error {
	return func() error {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
		return errors.Join(err, unix.Close(fd))
	}
}

func listed(path string) func() error {
	return func() error {
		entries, err := os.ReadDir(path)
		if err != nil || len(entries) == 0 {
			return errRefused
		}
		return nil
	}
}

func chrootOut() error {
	fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	_ = os.Mkdir("/tmp/jail", 0o755)
	if err := unix.Chroot("/tmp/jail"); err != nil {
		return err
	}
	_ = unix.Fchdir(fd)
	for range 40 {
		_ = unix.Chdir("..")
	}
	_ = unix.Chroot(".")
	return outside("/")
}

func climb() error { return outside(strings.Repeat("../", 40)) }

// outside is allowed if a folder shows what only the machine's root has.
func outside(path string) error {
	if _, err := os.Stat(filepath.Join(path, os.Getenv("HOST_MARK"))); err != nil {
		return err
	}
	return nil
}

func leftOpen() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || strings.HasPrefix(to, "pipe:") || strings.HasPrefix(to, "/proc/") || strings.HasPrefix(to, "anon_inode:") || to == "/dev/null" {
			continue
		}
		return nil
	}
	return errRefused
}

func suid() error {
	name := fmt.Sprintf("/alloc/data/suid%d", os.Getpid())
	try := func(make func() error) func() error {
		return func() error {
			_ = make()
			info, err := os.Stat(name)
			_ = os.Remove(name)
			if err != nil || info.Mode()&(os.ModeSetuid|os.ModeSetgid) == 0 {
				return errRefused
			}
			return nil
		}
	}
	openat2 := func() error {
		fd, err := unix.Openat2(unix.AT_FDCWD, name, &unix.OpenHow{Flags: unix.O_CREAT | unix.O_WRONLY, Mode: 0o4755})
		return errors.Join(err, unix.Close(fd))
	}
	create := func() error {
		fd, err := unix.Open(name, unix.O_CREAT|unix.O_WRONLY, 0o6755)
		return errors.Join(err, unix.Close(fd))
	}
	chmod := func() error {
		_ = os.WriteFile(name, nil, 0o755)
		return unix.Chmod(name, 0o4755)
	}
	fchmodat := func() error {
		_ = os.WriteFile(name, nil, 0o755)
		return call(unix.SYS_FCHMODAT2, ^uintptr(99), here(name), 0o2755, 0)()
	}
	return anyOf(try(openat2), try(create), try(chmod), try(fchmodat))()
}

func setcap() error {
	const name = "/alloc/data/capable"
	if err := os.WriteFile(name, nil, 0o755); err != nil {
		return err
	}
	defer func() { _ = os.Remove(name) }()
	return unix.Setxattr(name, "security.capability", []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0)
}

// hostInode tries on all that is visible and the machine's.
func hostInode() error {
	for _, path := range []string{"/etc/passwd", "/usr/bin/env", "/etc", "/usr", "/bin", "/lib", "/alloc/logs", "/dev", "/dev/null", "/"} {
		err := anyOf(func() error { return unix.Chmod(path, 0o777) }, func() error { return os.Chtimes(path, zeroTime, zeroTime) }, func() error { return unix.Setxattr(path, "user.x", []byte("x"), 0) },
			func() error { return unix.Truncate(path, 0) }, func() error { return os.WriteFile(filepath.Join(path, "new"), nil, 0o600) }, func() error { return os.Chown(path, os.Getuid(), os.Getgid()) })()
		if err == nil && path != "/dev/null" {
			return nil
		}
	}
	// The standard input, if it were a file of the machine.
	var stat unix.Stat_t
	if err := unix.Fstat(0, &stat); err != nil || stat.Mode&unix.S_IFMT == unix.S_IFIFO {
		return errRefused // a pipe is nobody's file
	}
	return unix.Fchmod(0, 0o600)
}
