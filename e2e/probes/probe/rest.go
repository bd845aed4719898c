//go:build linux

package main

import (
	"errors"
	"net"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func socket(family, kind, protocol int) func() error {
	return func() error {
		fd, err := unix.Socket(family, kind, protocol)
		return errors.Join(err, unix.Close(fd))
	}
}

func dial(network, addr string) func() error {
	return func() error {
		conn, err := net.DialTimeout(network, addr, 500*time.Millisecond)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// rest are the tries on network, time, terminals and the machine as a whole.
func rest() []probe {
	return []probe{
		{"E39 raw and packet sockets", anyOf(socket(unix.AF_INET, unix.SOCK_RAW, 1), socket(unix.AF_PACKET, unix.SOCK_RAW, 0))},
		{"E40 change the network", network},
		{"E41 abstract sockets of the machine", dial("unix", "@"+os.Getenv("ABSTRACT"))},
		{"E42 the agent's API, the cloud's metadata", anyOf(dial("tcp", os.Getenv("API")), dial("tcp", "169.254.169.254:80"))},
		{"E43 take a port of the machine", func() error {
			l, err := net.Listen("tcp", "127.0.0.1:1023")
			if err != nil {
				return err
			}
			defer func() { _ = l.Close() }()
			return errors.Join(ownNetwork())
		}},
		{"E44 set clock and name", anyOf(func() error { return unix.Settimeofday(&unix.Timeval{Sec: 1 << 31}) }, func() error { _, err := unix.Adjtimex(&unix.Timex{Modes: 1}); return err },
			func() error { return unix.Sethostname([]byte("x")) }, func() error { return unix.Setdomainname([]byte("x")) })},
		{"E45 modules, kexec, swap, reboot, quota", anyOf(call(unix.SYS_INIT_MODULE, 0, 0, 0), call(unix.SYS_FINIT_MODULE, 0, 0, 0), call(unix.SYS_KEXEC_LOAD, 0, 0, 0, 0), call(unix.SYS_SWAPON, here("/tmp"), 0),
			func() error { return unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF) }, call(unix.SYS_QUOTACTL, 0x800003<<8, 0, 0, 0), call(unix.SYS_SYSLOG, 10, 0, 0))},
		{"E50 type into a terminal", terminal}, {"E51 watch with dnotify and fanotify", anyOf(dnotify, call(unix.SYS_FANOTIFY_INIT, 0, 0))},
		{"E52 odd sockets", anyOf(socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0), socket(unix.AF_ALG, unix.SOCK_SEQPACKET, 0), socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP),
			socket(unix.AF_BLUETOOTH, unix.SOCK_RAW, 0), socket(unix.AF_CAN, unix.SOCK_RAW, 1), socket(unix.AF_KEY, unix.SOCK_RAW, 2), socket(unix.AF_XDP, unix.SOCK_RAW, 0), socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER))},
		{"E53 speculation, time namespaces", anyOf(func() error {
			return unix.Prctl(unix.PR_SET_SPECULATION_CTRL, unix.PR_SPEC_STORE_BYPASS, unix.PR_SPEC_ENABLE, 0, 0)
		}, unshare(unix.CLONE_NEWTIME))},
	}
}

// ownNetwork is refused where the ports that we have are nobody else's.
func ownNetwork() error {
	if os.Getenv("OWN_NETWORK") != "" {
		return errRefused
	}
	return nil
}

func network() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	var request struct {
		name  [16]byte
		flags uint16
		_     [22]byte
	}
	copy(request.name[:], "lo")
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return errno
	}
	return nil
}

func terminal() error {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	c := byte('x')
	for _, high := range []uintptr{0, 1 << 32} {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCSTI|high, uintptr(unsafe.Pointer(&c))); errno == 0 {
			return nil
		}
	}
	return errRefused
}

func dnotify() error {
	fd, err := unix.Open("/etc", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	_, err = unix.FcntlInt(uintptr(fd), unix.F_NOTIFY, 1) // DN_ACCESS
	return err
}
