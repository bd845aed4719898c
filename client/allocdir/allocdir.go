// Package allocdir lays out, reads and removes the directories of an
// allocation: the part its tasks share (alloc/data, alloc/logs, alloc/tmp) and
// each task's own (local, tmp, secrets, private).
//
// Tasks write into these directories, so every access goes through os.Root and
// never follows a symbolic link: nothing in here may lead out of the
// allocation, nor into a secret.
//
// It must not know drivers or servers. Begin reading at Base.Build; reading on
// people's behalf is in read.go, what moves between nodes in pack.go and
// unpack.go.
package allocdir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/steppe-run/steppe/internal/failpoint"
	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/structs"
)

// The names that the layout is made of.
const (
	SharedName  = "alloc"
	DataName    = "data"
	LogsName    = "logs"
	TmpName     = "tmp"
	LocalName   = "local"
	SecretsName = "secrets"
	PrivateName = "private"
)

// defaultSecretsMB is the size of a secrets file system when the job asks for
// none.
const defaultSecretsMB = 1

// Base is the directory below which every allocation has its own.
type Base struct {
	// Path is absolute.
	Path string
	// Tmpfs puts secrets into memory where the kernel lets us.
	Tmpfs bool
	// Nowhere makes no files at all: paths are names. It is for simulated nodes,
	// whose tasks are no processes.
	Nowhere bool
}

// Dir is one allocation's directory.
type Dir struct {
	base Base
	id   string
}

// TaskOptions are what a task's directory depends on.
type TaskOptions struct {
	// Name of the task.
	Name string
	// SecretsMB is the size of its secrets file system.
	SecretsMB int
	// UID and GID own the secrets; -1 leaves them to the agent.
	UID, GID int
}

// Dir names the directory of an allocation; it need not exist.
func (b Base) Dir(allocID string) Dir { return Dir{base: b, id: allocID} }

// Build creates the shared part of an allocation's directory. What exists
// already is kept.
func (b Base) Build(allocID string) (Dir, error) {
	d := b.Dir(allocID)
	if allocID == "" || filepath.Base(allocID) != allocID {
		return d, fmt.Errorf("build allocation directory: %q is no allocation id", allocID)
	}
	if b.Nowhere {
		return d, nil
	}
	if err := os.MkdirAll(b.Path, 0o711); err != nil {
		return d, fmt.Errorf("build allocation directory: %w", err)
	}
	root, err := os.OpenRoot(b.Path)
	if err != nil {
		return d, fmt.Errorf("build allocation directory: %w", err)
	}
	defer func() { _ = root.Close() }() // nothing was written through it
	err = makeDirs(root, []dirMode{
		{allocID, 0o711},
		{filepath.Join(allocID, SharedName), 0o755},
		{filepath.Join(allocID, SharedName, DataName), 0o777},
		{filepath.Join(allocID, SharedName, LogsName), 0o755},
		{filepath.Join(allocID, SharedName, TmpName), os.ModeSticky | 0o777},
	})
	if err != nil {
		return d, fmt.Errorf("build allocation directory: %w", err)
	}
	return d, nil
}

// BuildTask creates the directory of one task.
func (d Dir) BuildTask(opts TaskOptions) error {
	if !validTaskName(opts.Name) {
		return fmt.Errorf("build task directory: %q can't be a directory name", opts.Name)
	}
	if d.base.Nowhere {
		return nil
	}
	root, err := os.OpenRoot(d.Path())
	if err != nil {
		return fmt.Errorf("build task directory: %w", err)
	}
	defer func() { _ = root.Close() }() // nothing was written through it
	err = makeDirs(root, []dirMode{
		{opts.Name, 0o755},
		{filepath.Join(opts.Name, LocalName), 0o777},
		{filepath.Join(opts.Name, TmpName), os.ModeSticky | 0o777},
		{filepath.Join(opts.Name, SecretsName), 0o700},
		{filepath.Join(opts.Name, PrivateName), 0o700},
	})
	if err != nil {
		return fmt.Errorf("build task directory: %w", err)
	}
	failpoint.Here(failpoint.DirMade)
	if err := d.secure(root, opts); err != nil {
		return fmt.Errorf("build secrets directory: %w", err)
	}
	return nil
}

// secure puts secrets into memory where possible and hands them to the task's
// user.
func (d Dir) secure(root *os.Root, opts TaskOptions) error {
	size := opts.SecretsMB
	if size <= 0 {
		size = defaultSecretsMB
	}
	if d.base.Tmpfs {
		for _, name := range []string{SecretsName, PrivateName} {
			if err := mountTmpfs(filepath.Join(d.Path(), opts.Name, name), size); err != nil {
				return err
			}
			if name == SecretsName {
				failpoint.Here(failpoint.DirMounted)
			}
		}
	}
	if opts.UID < 0 && opts.GID < 0 {
		return nil
	}
	return root.Chown(filepath.Join(opts.Name, SecretsName), opts.UID, opts.GID)
}

// Path is the allocation's directory on the host.
func (d Dir) Path() string { return filepath.Join(d.base.Path, d.id) }

// SharedPath is the directory that the allocation's tasks share.
func (d Dir) SharedPath() string { return filepath.Join(d.Path(), SharedName) }

// LogsPath is where the logs of all tasks are.
func (d Dir) LogsPath() string { return filepath.Join(d.Path(), SharedName, LogsName) }

// TaskPath is one task's directory on the host.
func (d Dir) TaskPath(task string) string { return filepath.Join(d.Path(), task) }

// Exists reports whether the directory is there.
func (d Dir) Exists() bool {
	info, err := os.Lstat(d.Path())
	return err == nil && info.IsDir()
}

// DropSecrets takes what was put into memory away: once its tasks are dead
// nobody needs the secrets of an allocation, whose files may stay for long. A
// task that is begun again gets new ones.
func (d Dir) DropSecrets() error {
	if d.base.Nowhere {
		return nil
	}
	if err := unmountBelow(d.Path()); err != nil {
		return fmt.Errorf("drop secrets: %w", err)
	}
	return nil
}

// Destroy unmounts and removes everything of the allocation. It may be called
// again, also when nothing is left.
func (d Dir) Destroy() error {
	if d.base.Nowhere {
		return nil
	}
	root, err := os.OpenRoot(d.base.Path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove allocation directory: %w", err)
	}
	defer func() { _ = root.Close() }() // nothing was written through it
	if err := unmountBelow(d.Path()); err != nil {
		return fmt.Errorf("remove allocation directory: %w", err)
	}
	failpoint.Here(failpoint.DirUnmounted)
	if err := root.RemoveAll(d.id); err != nil {
		return fmt.Errorf("remove allocation directory: %w", err)
	}
	return nil
}

// List returns the ids of the allocations that have a directory below base. A
// directory whose name is no allocation id belongs to somebody else.
func (b Base) List() ([]string, error) {
	if b.Nowhere {
		return nil, nil
	}
	entries, err := os.ReadDir(b.Path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list allocation directories: %w", err)
	}
	var out []string
	for _, entry := range entries {
		if entry.IsDir() && ids.Valid(entry.Name()) {
			out = append(out, entry.Name())
		}
	}
	return out, nil
}

// SecretsMB is the size of the secrets file system a task asks for.
func SecretsMB(task *structs.Task) int {
	if task.Resources != nil && task.Resources.SecretsMB != nil && *task.Resources.SecretsMB > 0 {
		return *task.Resources.SecretsMB
	}
	return defaultSecretsMB
}

type dirMode struct {
	name string
	mode os.FileMode
}

// makeDirs creates directories in order; the mode holds whatever the umask is.
func makeDirs(root *os.Root, dirs []dirMode) error {
	for _, d := range dirs {
		err := root.Mkdir(d.name, d.mode.Perm())
		if errors.Is(err, os.ErrExist) {
			info, statErr := root.Lstat(d.name)
			if statErr == nil && info.IsDir() {
				continue
			}
			return fmt.Errorf("%s exists and is no directory", d.name)
		}
		if err != nil {
			return err
		}
		if err := root.Chmod(d.name, d.mode); err != nil {
			return err
		}
	}
	return nil
}

func validTaskName(name string) bool {
	return name != "" && name != SharedName && name != "." && filepath.IsLocal(name) && filepath.Base(name) == name
}
