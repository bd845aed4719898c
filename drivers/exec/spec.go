//go:build linux

package exec

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/process"
	"github.com/steppe-run/steppe/drivers/supervise/keeper"
	"github.com/steppe-run/steppe/drivers/supervise/keeper/box"
	"github.com/steppe-run/steppe/structs"
)

// nobody is the user and the group of tasks that name none.
const (
	nobody  = "nobody"
	nogroup = 65534
)

// defaultChroot is what a sandbox shows of its node if the client says nothing.
var defaultChroot = []string{"/bin", "/etc", "/lib", "/lib32", "/lib64", "/run/resolvconf", "/run/systemd/resolve", "/sbin", "/usr"}

// hidden are secrets of the node among what it shows.
var hidden = []string{
	"/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/ssl/private", "/etc/ssh", "/etc/sudoers", "/etc/sudoers.d",
	"/etc/security/opasswd", "/etc/krb5.keytab", "/etc/docker", "/etc/kubernetes", "/etc/steppe", "/etc/steppe.d", "/etc/nomad.d",
}

// own are the names of a task's directory that the sandbox shows in its own way
// or never.
var own = []string{"alloc", "local", "secrets", "private", "tmp", "dev", "proc", "sys"}

// spec puts a task into the supervisor's terms.
func (c *pluginConfig) spec(t *drivers.TaskConfig) (*keeper.Spec, error) {
	if t.AllocDir == "" || t.Name == "" {
		return nil, errors.New("start task: it has no name or directory")
	}
	task, err := decodeTask(t)
	if err != nil {
		return nil, err
	}
	sandbox, err := c.sandbox(t, task)
	if err != nil {
		return nil, err
	}
	spec := &keeper.Spec{
		Task: t.Name, Path: task.Command, Args: append([]string{task.Command}, task.Args...), Dir: task.WorkDir,
		Env: process.Environment(t, nil), Box: sandbox,
	}
	if t.Network != nil {
		spec.Network, sandbox.Network = t.Network.Path, t.Network.Path != ""
	}
	if !sandbox.PID {
		sandbox.Rights.Scope |= unix.LANDLOCK_SCOPE_SIGNAL
	}
	if !sandbox.Network {
		sandbox.Rights.Scope |= unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
	}
	process.OwnCgroup(spec, t)
	if err := process.Limit(spec, t, c.limits(t)); err != nil {
		return nil, err
	}
	return spec, process.PlaceLogs(spec, t)
}

func (c *pluginConfig) limits(t *drivers.TaskConfig) *process.Limits {
	out := &process.Limits{Pids: c.PidsLimit}
	r := t.Resources
	if r == nil {
		return out
	}
	out.CPUShares, out.CPUQuota, out.CPUPeriod = r.Linux.CPUShares, r.Linux.CPUQuota, r.Linux.CPUPeriod
	out.Memory, out.MemorySoft, out.Cores = r.Linux.MemoryLimitBytes, r.Allocated.Memory.MemoryMB<<20, r.Linux.CpusetCPUs
	if out.Cores == "" {
		var cores []string
		for _, core := range r.Allocated.Cpu.ReservedCores {
			cores = append(cores, fmt.Sprint(core))
		}
		out.Cores = strings.Join(cores, ",")
	}
	return out
}

// sandbox says what the task's sandbox is.
func (c *pluginConfig) sandbox(t *drivers.TaskConfig, task *taskConfig) (*box.Spec, error) {
	caps, err := c.capabilities(task)
	if err != nil {
		return nil, err
	}
	user, err := c.user(t.User)
	if err != nil {
		return nil, err
	}
	// Its secrets are for the task, and for nobody else.
	if err := os.Lchown(filepath.Join(t.TaskDir(), "secrets"), int(user.UID), int(user.GID)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("give secrets to the task's user: %w", err)
	}
	out := &box.Spec{
		PID: or(task.PIDMode, c.DefaultPIDMode) != host, IPC: or(task.IPCMode, c.DefaultIPCMode) != host,
		NoPivot: c.NoPivotRoot, Search: search(t), Rights: box.Rights{UID: user.UID, GID: user.GID, Caps: caps},
	}
	if task.Rootfs != "" {
		out.Base, out.Image = t.TaskDir(), filepath.Clean(task.Rootfs)
	} else {
		out.Binds, out.Masked = c.nodeBinds(), hidden
	}
	out.Binds = append(out.Binds, taskBinds(t)...)
	if task.Rootfs == "" {
		more, err := c.otherBinds(t)
		if err != nil {
			return nil, err
		}
		out.Binds = append(out.Binds, more...)
	}
	return out, addOnes(out, t)
}

// addOnes adds what the task was given beside its directory.
func addOnes(out *box.Spec, t *drivers.TaskConfig) error {
	dns, err := resolvConf(t, out.Image != "")
	if err != nil {
		return err
	}
	out.Binds = append(out.Binds, dns...)
	for _, m := range t.Mounts {
		if !filepath.IsAbs(m.TaskPath) {
			m.TaskPath = "/" + m.TaskPath
		}
		if filepath.Clean(m.TaskPath) == "/" {
			return fmt.Errorf("mount %s: the sandbox's root can't be replaced; use rootfs", m.HostPath)
		}
		out.Binds = append(out.Binds, box.Bind{From: m.HostPath, To: m.TaskPath, Write: !m.ReadOnly, Follow: true, Propagation: m.PropagationMode})
	}
	for _, d := range t.Devices {
		out.Devices = append(out.Devices, box.Device{
			From: d.HostPath, To: d.TaskPath, Read: strings.Contains(d.Permissions, "r"), Write: strings.Contains(d.Permissions, "w"),
		})
	}
	return nil
}

// user finds who the task runs as. Nobody is in the group root.
func (c *pluginConfig) user(name string) (*keeper.User, error) {
	found, err := process.LookupUser(or(name, nobody))
	if err != nil {
		return nil, err
	}
	out := &keeper.User{UID: found.UID, GID: found.GID}
	if out.GID == 0 {
		out.GID = nogroup
	}
	return out, c.denied.Check(out)
}

// nodeBinds shows parts of the node, read-only.
func (c *pluginConfig) nodeBinds() []box.Bind {
	all := c.ChrootEnv
	if len(all) == 0 {
		all = map[string]string{}
		for _, path := range defaultChroot {
			all[path] = path
		}
	}
	var out []box.Bind
	for _, from := range slices.Sorted(maps.Keys(all)) {
		out = append(out, box.Bind{From: from, To: all[from], Optional: true})
	}
	slices.SortStableFunc(out, func(a, b box.Bind) int { return strings.Count(a.To, "/") - strings.Count(b.To, "/") })
	return out
}

// taskBinds shows the directories of the task and its allocation.
func taskBinds(t *drivers.TaskConfig) []box.Bind {
	shared := filepath.Join(t.AllocDir, "alloc")
	return []box.Bind{
		{From: shared, To: "/alloc", Write: true},
		{From: t.LogDir(), To: "/alloc/logs", Optional: true},
		{From: filepath.Join(t.TaskDir(), "local"), To: "/local", Write: true, Optional: true},
		{From: filepath.Join(t.TaskDir(), "secrets"), To: "/secrets", Write: true, Optional: true},
		{From: filepath.Join(t.TaskDir(), "tmp"), To: "/tmp", Write: true, Optional: true},
	}
}

// otherBinds shows what else was put into the task's directory, unless the node
// shows something of that name.
func (c *pluginConfig) otherBinds(t *drivers.TaskConfig) ([]box.Bind, error) {
	entries, err := os.ReadDir(t.TaskDir())
	if err != nil {
		return nil, fmt.Errorf("read task directory: %w", err)
	}
	taken := slices.Clone(own)
	for _, bind := range c.nodeBinds() {
		first, _, _ := strings.Cut(strings.TrimPrefix(filepath.Clean(bind.To), "/"), "/")
		taken = append(taken, first)
	}
	var out []box.Bind
	for _, e := range entries {
		if !slices.Contains(taken, e.Name()) {
			out = append(out, box.Bind{From: filepath.Join(t.TaskDir(), e.Name()), To: "/" + e.Name(), Write: true})
		}
	}
	return out, nil
}

// resolvConf says how names are resolved: as the network wants it, or in an
// image as the node does.
func resolvConf(t *drivers.TaskConfig, image bool) ([]box.Bind, error) {
	const path = "/etc/resolv.conf"
	if t.DNS == nil || len(t.DNS.Servers) == 0 {
		if !image {
			return nil, nil
		}
		return []box.Bind{{From: path, To: path, Follow: true, Optional: true}}, nil
	}
	dir := filepath.Join(t.TaskDir(), "private") // the task never sees it
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make private directory: %w", err)
	}
	file := filepath.Join(dir, "resolv.conf")
	if err := os.WriteFile(file, []byte(resolver(t.DNS)), 0o644); err != nil {
		return nil, fmt.Errorf("write resolv.conf: %w", err)
	}
	return []box.Bind{{From: file, To: path}}, os.Chmod(file, 0o644)
}

func resolver(dns *structs.DNSConfig) string {
	var out strings.Builder
	if len(dns.Searches) > 0 {
		out.WriteString("search " + strings.Join(dns.Searches, " ") + "\n")
	}
	for _, server := range dns.Servers {
		out.WriteString("nameserver " + server + "\n")
	}
	if len(dns.Options) > 0 {
		out.WriteString("options " + strings.Join(dns.Options, " ") + "\n")
	}
	return out.String()
}

// search are the folders in which a command is looked for.
func search(t *drivers.TaskConfig) []string {
	out := []string{"/local", "/"}
	path := filepath.SplitList(t.Env["PATH"])
	if len(path) == 0 {
		path = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}
	}
	for _, dir := range path {
		if filepath.IsAbs(dir) {
			out = append(out, dir)
		}
	}
	return out
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
