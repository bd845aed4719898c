//go:build linux

package box

import (
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// makeDev makes a /dev of our own: the devices that every program expects, and
// those that the task was given.
func (b *builder) makeDev() error {
	dev, err := newMount("tmpfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC, "mode", "0755", "size", "64k")
	if err != nil {
		return err
	}
	if err := b.attach(dev, "/dev", true); err != nil {
		return err
	}
	for name, number := range map[string]uint64{
		"null": unix.Mkdev(1, 3), "zero": unix.Mkdev(1, 5), "full": unix.Mkdev(1, 7), "random": unix.Mkdev(1, 8), "urandom": unix.Mkdev(1, 9), "tty": unix.Mkdev(5, 0),
	} {
		if err := unix.Mknodat(dev, name, unix.S_IFCHR|0o666, int(number)); err != nil {
			return fmt.Errorf("make /dev/%s: %w", name, err)
		}
	}
	for at, text := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx",
	} {
		if err := unix.Symlinkat(text, dev, at); err != nil {
			return fmt.Errorf("link /dev/%s: %w", at, err)
		}
	}
	if err := b.makeDevices(); err != nil {
		return err
	}
	if err := b.mountInDev(); err != nil {
		return err
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(dev, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return fmt.Errorf("seal /dev: %w", err)
	}
	return unix.Close(dev)
}

func (b *builder) mountInDev() error {
	mounts := []struct {
		kind, at string
		options  []string
	}{
		{"devpts", "/dev/pts", []string{"newinstance", "", "ptmxmode", "0666", "mode", "0620"}},
		{"tmpfs", "/dev/shm", []string{"mode", "1777", "size", shmSize}},
		{"mqueue", "/dev/mqueue", nil},
	}
	for _, m := range mounts {
		if m.kind == "mqueue" && !b.spec.IPC {
			continue // it would be the machine's
		}
		attr := silent
		if m.kind == "devpts" {
			attr = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC
		}
		fd, err := newMount(m.kind, attr, m.options...)
		if m.kind == "mqueue" && err != nil {
			continue // not every kernel has it
		}
		if err != nil {
			return err
		}
		if err := b.attach(fd, m.at, true); err != nil {
			return err
		}
		_ = unix.Close(fd)
	}
	return nil
}

// makeDevices makes the task's own nodes: new ones, so that the machine's can't
// be touched, with a mode that says what the task may do.
func (b *builder) makeDevices() error {
	for _, d := range b.spec.Devices {
		var stat unix.Stat_t
		if err := unix.Stat(d.From, &stat); err != nil {
			return fmt.Errorf("look at device %s: %w", d.From, err)
		}
		kind := stat.Mode & unix.S_IFMT
		if kind != unix.S_IFCHR && kind != unix.S_IFBLK {
			return fmt.Errorf("device %s is no device", d.From)
		}
		at := path.Clean("/" + d.To)
		if !strings.HasPrefix(at, "/dev/") {
			return fmt.Errorf("device %s can only be shown below /dev, not at %s", d.From, d.To)
		}
		mode := kind
		if d.Read {
			mode |= 0o444
		}
		if d.Write {
			mode |= 0o222
		}
		dir, last := path.Split(at)
		parent, err := b.make(dir, true)
		if err != nil {
			return fmt.Errorf("make a place for %s: %w", d.To, err)
		}
		err = unix.Mknodat(parent, last, mode, int(stat.Rdev))
		_ = unix.Close(parent)
		if err != nil {
			return fmt.Errorf("make %s: %w", d.To, err)
		}
	}
	return nil
}
