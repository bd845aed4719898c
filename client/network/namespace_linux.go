package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/steppe-run/steppe/internal/loop"
)

// nsfsMagic is the file system of namespaces.
const nsfsMagic = 0x6e736673

// apart calls f in a thread that dies with it: what it does to its
// namespaces is nobody else's.
func apart(ctx context.Context, f func() error) error {
	group := loop.New(context.WithoutCancel(ctx))
	group.Go("namespace", func(context.Context) error {
		runtime.LockOSThread() // never unlocked: the thread ends with this function
		return f()
	})
	return group.Wait()
}

// makeNamespace makes a namespace that is held by a file, unless it is there.
func makeNamespace(ctx context.Context, path string) error {
	if isNamespace(path) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make network namespace: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o444)
	if err != nil {
		return fmt.Errorf("make network namespace: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("make network namespace: %w", err)
	}
	err = apart(ctx, func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make network namespace (it takes root): %w", err)
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return fmt.Errorf("find loopback: %w", err)
		}
		if err := netlink.LinkSetUp(lo); err != nil {
			return fmt.Errorf("set loopback up: %w", err)
		}
		// Last: a namespace that is found later is complete.
		if err := unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("hold network namespace: %w", err)
		}
		return nil
	})
	if err != nil {
		return errors.Join(err, removeNamespace(path))
	}
	return nil
}

func isNamespace(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == nsfsMagic
}

// removeNamespace lets go of a namespace. It ends with the last process in it.
func removeNamespace(path string) error {
	for isNamespace(path) {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("let go of network namespace: %w", err)
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("let go of network namespace: %w", err)
	}
	return nil
}

// sysctl sets a kernel parameter, if it isn't set so.
func sysctl(name, value string) error {
	path := filepath.Join("/proc/sys", name)
	old, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read kernel parameter: %w", err)
	}
	if string(old) == value+"\n" {
		return nil
	}
	if err := os.WriteFile(path, []byte(value), 0); err != nil {
		return fmt.Errorf("set kernel parameter: %w", err)
	}
	return nil
}
