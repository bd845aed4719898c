//go:build linux

package box

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	safe   = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	silent = safe | unix.MOUNT_ATTR_NOEXEC
)

// shmSize is that of /dev/shm.
const shmSize = "64m"

// builder makes one box.
type builder struct {
	spec *Spec
	// root is the new root.
	root int
}

// build makes the box around this process, which has a mount namespace of its
// own already.
func build(spec *Spec) error {
	unix.Umask(0)
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("hide the cgroups above: %w", err)
	}
	b := &builder{spec: spec}
	// Taken first, while the machine's mounts still are as they were: what
	// shall stay in touch with them must come from there.
	sources, err := b.sources()
	if err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("part from the machine's mounts: %w", err)
	}
	for _, step := range []func() error{
		b.makeRoot, func() error { return b.show(sources) }, b.makeProc, b.makeSys, b.makeDev, b.mask, b.seal, b.change,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// makeRoot mounts the new root over the folder that we are in, so that
// there is a place for it.
func (b *builder) makeRoot() (err error) {
	if b.spec.Image == "" {
		b.root, err = newMount("tmpfs", safe, "mode", "0755", "size", "1m")
	} else {
		b.root, err = b.image()
	}
	if err != nil {
		return err
	}
	if err := unix.MoveMount(b.root, "", unix.AT_FDCWD, ".", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount the new root: %w", err)
	}
	return nil
}

// image clones the mount of the image's folder.
func (b *builder) image() (int, error) {
	base, err := unix.Open(b.spec.Base, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open the image's place: %w", err)
	}
	defer func() { _ = unix.Close(base) }()
	dir, err := unix.Openat2(base, b.spec.Image, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return -1, &missingError{fmt.Sprintf("rootfs %q can't be the root of the task: %v", b.spec.Image, err)}
	}
	defer func() { _ = unix.Close(dir) }()
	tree, err := unix.OpenTree(dir, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return -1, fmt.Errorf("take rootfs: %w", err)
	}
	return tree, attributes(tree, safe, unix.MS_PRIVATE)
}

// makeProc shows the processes of the box, and of those only what is the
// user's own. What it tells about the machine is read-only or masked.
func (b *builder) makeProc() error {
	proc, err := newMount("proc", silent, "hidepid", "invisible")
	if err != nil {
		return err
	}
	if err := b.attach(proc, "/proc", true); err != nil {
		return err
	}
	for _, name := range []string{"bus", "fs", "irq", "sys", "sysrq-trigger"} {
		tree, err := unix.OpenTree(proc, name, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return fmt.Errorf("take /proc/%s: %w", name, err)
		}
		if err := attributes(tree, silent|unix.MOUNT_ATTR_RDONLY, unix.MS_PRIVATE); err != nil {
			return err
		}
		if err := unix.MoveMount(tree, "", proc, name, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("mount /proc/%s: %w", name, err)
		}
		_ = unix.Close(tree)
	}
	return unix.Close(proc)
}

func (b *builder) makeSys() error {
	sys, err := newMount("sysfs", silent|unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		return err
	}
	return b.attach(sys, "/sys", true)
}

// mask hides what tells of the machine's inside or would be power over it.
func (b *builder) mask() error {
	all := []string{
		"/proc/acpi", "/proc/asound", "/proc/driver", "/proc/dma", "/proc/interrupts", "/proc/iomem", "/proc/ioports", "/proc/kallsyms", "/proc/kcore",
		"/proc/key-users", "/proc/keys", "/proc/kmsg", "/proc/kpagecgroup", "/proc/kpagecount", "/proc/kpageflags", "/proc/latency_stats",
		"/proc/modules", "/proc/mtrr", "/proc/sched_debug", "/proc/scsi", "/proc/slabinfo", "/proc/timer_list", "/proc/timer_stats",
		"/proc/vmallocinfo", "/sys/firmware", "/sys/fs/bpf", "/sys/fs/selinux", "/sys/kernel/debug", "/sys/kernel/security", "/sys/kernel/tracing",
		"/sys/devices/virtual/powercap", "/sys/module",
	}
	for _, path := range append(all, b.spec.Masked...) {
		if err := b.maskOne(path); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) maskOne(path string) error {
	target, err := b.find(path, 0)
	if err != nil {
		return nil // there is nothing to hide
	}
	defer func() { _ = unix.Close(target) }()
	var stat unix.Stat_t
	if err := unix.Fstat(target, &stat); err != nil {
		return fmt.Errorf("mask %s: %w", path, err)
	}
	var cover int
	if stat.Mode&unix.S_IFMT == unix.S_IFDIR {
		cover, err = newMount("tmpfs", silent|unix.MOUNT_ATTR_RDONLY, "mode", "0555", "size", "0")
	} else {
		cover, err = b.cloneOf("/dev/null")
	}
	if err != nil {
		return fmt.Errorf("mask %s: %w", path, err)
	}
	defer func() { _ = unix.Close(cover) }()
	if err := unix.MoveMount(cover, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH); err != nil {
		return fmt.Errorf("mask %s: %w", path, err)
	}
	return nil
}

// cloneOf clones the mount of a file in the box, read-only.
func (b *builder) cloneOf(path string) (int, error) {
	fd, err := b.find(path, 0)
	if err != nil {
		return -1, err
	}
	defer func() { _ = unix.Close(fd) }()
	tree, err := unix.OpenTree(fd, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return -1, fmt.Errorf("take %s: %w", path, err)
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_RDONLY, Propagation: unix.MS_PRIVATE}
	return tree, unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attr)
}

// seal makes a root of our own read-only; an image is the task's.
func (b *builder) seal() error {
	if b.spec.Image != "" {
		return nil
	}
	attr := unix.MountAttr{Attr_set: safe | unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(b.root, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return fmt.Errorf("seal the new root: %w", err)
	}
	return nil
}

// change makes the new root the root.
func (b *builder) change() error {
	if err := unix.Fchdir(b.root); err != nil {
		return fmt.Errorf("enter the new root: %w", err)
	}
	if b.spec.NoPivot {
		if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move the new root: %w", err)
		}
		if err := unix.Chroot("."); err != nil {
			return fmt.Errorf("change the root: %w", err)
		}
		return unix.Chdir("/")
	}
	// The old root lands over the new one, and is let go of from there.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let go of the machine's root: %w", err)
	}
	return unix.Chdir("/")
}

// newMount makes a file system that is mounted nowhere yet.
func newMount(kind string, attr int, options ...string) (int, error) {
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("make %s: %w", kind, err)
	}
	defer func() { _ = unix.Close(fs) }()
	for i := 0; i+1 < len(options); i += 2 {
		if options[i+1] == "" {
			err = unix.FsconfigSetFlag(fs, options[i])
		} else {
			err = unix.FsconfigSetString(fs, options[i], options[i+1])
		}
		if err != nil {
			return -1, fmt.Errorf("make %s with %s: %w", kind, options[i], err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("make %s: %w", kind, err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attr)
	if err != nil {
		return -1, fmt.Errorf("make %s: %w", kind, err)
	}
	return fd, nil
}

// attributes sets those of a mount and all below it.
func attributes(tree int, attr uint64, propagation uint64) error {
	set := unix.MountAttr{Attr_set: attr, Propagation: propagation}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &set); err != nil {
		return fmt.Errorf("set attributes of a mount: %w", err)
	}
	return nil
}
