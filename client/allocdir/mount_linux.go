package allocdir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// mountTmpfs puts a file system in memory over path. Where the kernel does not
// allow it, the plain directory stays: it is readable by its owner alone.
func mountTmpfs(path string, sizeMB int) error {
	if mounted(path) {
		return nil
	}
	options := fmt.Sprintf("size=%dm,mode=0700", sizeMB)
	err := unix.Mount("tmpfs", path, "tmpfs", unix.MS_NOEXEC|unix.MS_NOSUID|unix.MS_NODEV, options)
	if err == nil || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return fmt.Errorf("mount tmpfs on %s: %w", path, err)
}

// unmountBelow detaches every mount at or below path, innermost first.
func unmountBelow(path string) error {
	points, err := mountPoints()
	if err != nil {
		return err
	}
	for i := len(points) - 1; i >= 0; i-- {
		point := points[i]
		if point != path && !strings.HasPrefix(point, path+string(filepath.Separator)) {
			continue
		}
		if err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("unmount %s: %w", point, err)
		}
	}
	return nil
}

// mounted reports whether path is the root of a file system of its own.
func mounted(path string) bool {
	var own, parent unix.Stat_t
	if unix.Lstat(path, &own) != nil || unix.Lstat(filepath.Dir(path), &parent) != nil {
		return false
	}
	return own.Dev != parent.Dev
}

// mountPoints lists the mount points of this process in mount order.
func mountPoints() ([]string, error) {
	data, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, fmt.Errorf("read mounts: %w", err)
	}
	var points []string
	for _, line := range strings.Split(string(data), "\n") {
		fields := strings.Fields(line)
		if len(fields) > 1 {
			points = append(points, unescapeMount(fields[1]))
		}
	}
	return points, nil
}

// unescapeMount undoes the octal escapes that the kernel writes.
var unescapeMount = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace
