//go:build linux

package confine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain makes this program one that confines itself and tells what it can
// still do: the argument names the folder, the environment the rules.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "confined" {
		dir := os.Args[2]
		err := Self(Rules{
			Read: []string{dir + "/read"}, Write: []string{dir + "/write"}, NoNetwork: os.Getenv("NETWORK") == "",
			Execute: []string{"/bin/true"}, NoExec: os.Getenv("EXEC") == "",
			MaxFileBytes: 1 << 20, MaxMemoryBytes: 600 << 20, CPUSeconds: 30, MaxOpenFiles: 200,
		})
		if err != nil {
			fmt.Println("can't be confined:", err)
			os.Exit(1)
		}
		fmt.Print(tries(dir))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// tries lists what succeeds.
func tries(dir string) string {
	var out strings.Builder
	try := func(name string, f func() error) {
		if f() == nil {
			out.WriteString(name + "\n")
		}
	}
	try("read what is given", func() error { _, err := os.ReadFile(dir + "/read/file"); return err })
	try("write what is given to read", func() error { return os.WriteFile(dir+"/read/file", nil, 0o600) })
	try("read what isn't given", func() error { _, err := os.ReadFile(dir + "/other/file"); return err })
	try("list what isn't given", func() error { _, err := os.ReadDir("/etc"); return err })
	try("write what is given", func() error { return os.WriteFile(dir+"/write/new", []byte("x"), 0o600) })
	try("move below what is given", func() error { return os.Rename(dir+"/write/new", dir+"/write/sub/new") })
	try("link what isn't given", func() error { return os.Link(dir+"/other/file", dir+"/write/link") })
	try("write a file that is too large", func() error { return os.WriteFile(dir+"/write/large", make([]byte, 2<<20), 0o600) })
	try("make a FIFO", func() error { return unix.Mkfifo(dir+"/write/fifo", 0o600) })
	try("make a device", func() error { return unix.Mknod(dir+"/write/null", unix.S_IFCHR|0o600, 0x103) })
	try("make a set-user-ID file", func() error {
		fd, err := unix.Open(dir+"/write/suid", unix.O_CREAT|unix.O_WRONLY, 0o4755)
		return errors.Join(err, unix.Close(fd))
	})
	try("set a user ID bit", func() error {
		return errors.Join(os.WriteFile(dir+"/write/chmod", nil, 0o700), unix.Chmod(dir+"/write/chmod", 0o4700))
	})
	try("open a socket", func() error { return socketFails(unix.AF_INET, unix.SOCK_STREAM) })
	try("open a raw socket", func() error { return socketFails(unix.AF_INET, unix.SOCK_RAW) })
	try("open a unix socket", func() error { return socketFails(unix.AF_UNIX, unix.SOCK_STREAM) })
	try("run a program", func() error { return exec.Command("/bin/true").Run() })
	try("run another program", func() error { return exec.Command("/bin/cat", "/dev/null").Run() })
	try("mount", func() error { return unix.Mount("none", dir+"/write", "tmpfs", 0, "") })
	try("unshare", func() error { return unix.Unshare(unix.CLONE_NEWUSER) })
	try("trace", func() error { return unix.PtraceAttach(os.Getppid()) })
	try("open too many files", func() error {
		for range 300 {
			if _, err := os.Open(os.DevNull); err != nil {
				return err
			}
		}
		return nil
	})
	return out.String()
}

func socketFails(family, kind int) error {
	fd, err := unix.Socket(family, kind, 0)
	return errors.Join(err, unix.Close(fd))
}

func confined(t *testing.T, env ...string) []string {
	t.Helper()
	if LandlockVersion() == 0 {
		t.Skip("this kernel has no Landlock")
	}
	dir := t.TempDir()
	for _, name := range []string{"read", "other", "write", "write/sub"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"read/file", "other/file"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "confined", dir)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func TestAConfinedProgramDoesWhatItIsGivenAndNothingElse(t *testing.T) {
	got := confined(t)
	want := []string{"read what is given", "write what is given", "move below what is given"}
	if !slices.Equal(got, want) {
		t.Errorf("it could\n%s\nand should\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestNetworkAndProgramsAreGivenBackOnDemand(t *testing.T) {
	got := confined(t, "NETWORK=1", "EXEC=1")
	want := []string{"read what is given", "write what is given", "move below what is given", "open a socket", "run a program"}
	if !slices.Equal(got, want) {
		t.Errorf("it could\n%s\nand should\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestCapabilitiesAreReadAsPeopleWriteThem(t *testing.T) {
	got, err := ParseCaps([]string{"CAP_CHOWN", "net_bind_service", " Kill "})
	if err != nil || strings.Join(got.Names(), " ") != "chown kill net_bind_service" {
		t.Errorf("ParseCaps = %v, %v", got.Names(), err)
	}
	if all, err := ParseCaps([]string{"ALL"}); err != nil || len(all.Names()) != unix.CAP_LAST_CAP+1 {
		t.Errorf("all = %v, %v", all.Names(), err)
	}
	if _, err := ParseCaps([]string{"root"}); err == nil {
		t.Error("root is a capability")
	}
	if capNames[unix.CAP_MKNOD] != "mknod" || capNames[unix.CAP_SETFCAP] != "setfcap" || capNames[unix.CAP_BPF] != "bpf" {
		t.Error("the names are out of step with the numbers")
	}
}

// judge runs a filter as the kernel does.
func judge(t *testing.T, f *Filter, call uint32, args ...uint64) Verdict {
	t.Helper()
	program := f.assemble()
	if len(program) > 4096 {
		t.Fatalf("the filter has %d steps, and the kernel takes 4096", len(program))
	}
	data := func(at uint32) uint32 {
		switch {
		case at == atCall:
			return call
		case at == atMachine:
			return machine
		case at >= atArgs && int(at-atArgs)/8 < len(args):
			return uint32(args[(at-atArgs)/8])
		}
		return 0
	}
	var a uint32
	for pc := 0; ; pc++ {
		step := program[pc]
		hit := false
		switch step.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = data(step.K)
			continue
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= step.K
			continue
		case unix.BPF_RET | unix.BPF_K:
			return Verdict(step.K)
		case unix.BPF_JMP | unix.BPF_K | unix.BPF_JEQ:
			hit = a == step.K
		case unix.BPF_JMP | unix.BPF_K | unix.BPF_JGE:
			hit = a >= step.K
		case unix.BPF_JMP | unix.BPF_K | unix.BPF_JGT:
			hit = a > step.K
		default:
			t.Fatalf("unknown step %v", step)
		}
		if hit {
			pc += int(step.Jt)
		} else {
			pc += int(step.Jf)
		}
	}
}

func TestAProgramsFilterAllowsTheUsualAndRefusesTheRest(t *testing.T) {
	no, none := Fail(syscall.EPERM), Fail(syscall.ENOSYS)
	f := Program(0)
	for i, c := range []struct {
		call uint32
		args []uint64
		want Verdict
	}{
		{unix.SYS_READ, nil, Allow}, {unix.SYS_WRITE, nil, Allow}, {unix.SYS_EXECVE, nil, Allow}, {unix.SYS_FUTEX, nil, Allow},
		{unix.SYS_MOUNT, nil, no}, {unix.SYS_BPF, nil, no}, {unix.SYS_IO_URING_SETUP, nil, no}, {unix.SYS_PTRACE, nil, no},
		{unix.SYS_KEYCTL, nil, no}, {unix.SYS_UNSHARE, nil, no}, {unix.SYS_SETNS, nil, no}, {unix.SYS_CHROOT, nil, no},
		{unix.SYS_CLONE, []uint64{uint64(unix.SIGCHLD)}, Allow}, {unix.SYS_CLONE, []uint64{unix.CLONE_NEWUSER | uint64(unix.SIGCHLD)}, no},
		{unix.SYS_CLONE3, nil, none}, {unix.SYS_OPENAT2, nil, none}, {newest + 1, nil, none}, {otherABI | 1, nil, none},
		{unix.SYS_IOCTL, []uint64{0, unix.TCGETS}, Allow}, {unix.SYS_IOCTL, []uint64{0, unix.TIOCSTI}, no},
		// The kernel looks at 32 bits of the command only.
		{unix.SYS_IOCTL, []uint64{0, 1<<32 | unix.TIOCSTI}, no},
		{unix.SYS_FCHMODAT, []uint64{0, 0, 0o755}, Allow}, {unix.SYS_FCHMODAT, []uint64{0, 0, 0o4755}, no}, {unix.SYS_FCHMOD, []uint64{0, 0o2755}, no},
		{unix.SYS_OPENAT, []uint64{0, 0, unix.O_RDONLY, 0o4000}, Allow}, {unix.SYS_OPENAT, []uint64{0, 0, unix.O_CREAT, 0o4755}, no},
		{unix.SYS_OPENAT, []uint64{0, 0, unix.O_TMPFILE | unix.O_RDWR, 0o4755}, no}, {unix.SYS_OPENAT, []uint64{0, 0, unix.O_DIRECTORY, 0o4755}, Allow},
		{unix.SYS_MKNODAT, []uint64{0, 0, unix.S_IFIFO | 0o600}, Allow}, {unix.SYS_MKNODAT, []uint64{0, 0, unix.S_IFBLK | 0o600}, no},
		{unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_STREAM | unix.SOCK_CLOEXEC, 0}, Allow},
		{unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_RAW, 1}, no}, {unix.SYS_SOCKET, []uint64{unix.AF_PACKET, unix.SOCK_RAW, 0}, no},
		{unix.SYS_SOCKET, []uint64{unix.AF_VSOCK, unix.SOCK_STREAM, 0}, no}, {unix.SYS_SOCKET, []uint64{unix.AF_ALG, unix.SOCK_SEQPACKET, 0}, no},
		{unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP}, no},
		{unix.SYS_SOCKET, []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, Allow},
		{unix.SYS_SOCKET, []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT}, no},
		{unix.SYS_PERSONALITY, []uint64{0xffffffff}, Allow}, {unix.SYS_PERSONALITY, []uint64{0x0400000}, no},
	} {
		if got := judge(t, &f, c.call, c.args...); got != c.want {
			t.Errorf("%d: call %d with %#x: %#x, want %#x", i, c.call, c.args, got, c.want)
		}
	}
	withRaw := Program(CapOf(unix.CAP_NET_RAW) | CapOf(unix.CAP_SYS_PTRACE))
	if got := judge(t, &withRaw, unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_RAW, 1); got != Allow {
		t.Errorf("a raw socket with the capability for it: %#x", got)
	}
	if got := judge(t, &withRaw, unix.SYS_PTRACE); got != Allow {
		t.Errorf("tracing with the capability for it: %#x", got)
	}
}
