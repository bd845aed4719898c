//go:build linux && (amd64 || arm64)

package confine

import (
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// usual are the calls that programs make and that only concern themselves and
// what they were given. What is missing here fails: mounts, namespaces, modules,
// BPF, io_uring, userfaultfd, keys, the clock, other processes' memory.
var usual = []uint32{
	unix.SYS_ACCEPT, unix.SYS_ACCEPT4, unix.SYS_BIND, unix.SYS_CACHESTAT, unix.SYS_CAPGET, unix.SYS_CAPSET, unix.SYS_BRK, unix.SYS_CHDIR,
	unix.SYS_CLOCK_GETRES, unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOSE, unix.SYS_CLOSE_RANGE, unix.SYS_CONNECT,
	unix.SYS_COPY_FILE_RANGE, unix.SYS_DUP, unix.SYS_DUP3, unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2,
	unix.SYS_EVENTFD2, unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2,
	unix.SYS_FADVISE64, unix.SYS_FALLOCATE, unix.SYS_FCHDIR, unix.SYS_FCHOWN, unix.SYS_FCHOWNAT, unix.SYS_FDATASYNC, unix.SYS_FGETXATTR,
	unix.SYS_FLISTXATTR, unix.SYS_FLOCK, unix.SYS_FREMOVEXATTR, unix.SYS_FSETXATTR, unix.SYS_FSTAT, unix.SYS_FSTATFS, unix.SYS_FSYNC,
	unix.SYS_FTRUNCATE, unix.SYS_FUTEX, unix.SYS_FUTEX_REQUEUE, unix.SYS_FUTEX_WAIT, unix.SYS_FUTEX_WAITV, unix.SYS_FUTEX_WAKE, unix.SYS_GET_MEMPOLICY,
	unix.SYS_GET_ROBUST_LIST, unix.SYS_GETCPU, unix.SYS_GETCWD, unix.SYS_GETDENTS64, unix.SYS_GETEGID, unix.SYS_GETEUID, unix.SYS_GETGID,
	unix.SYS_GETGROUPS, unix.SYS_GETITIMER, unix.SYS_GETPEERNAME, unix.SYS_GETPGID, unix.SYS_GETPID, unix.SYS_GETPPID, unix.SYS_GETPRIORITY,
	unix.SYS_GETRANDOM, unix.SYS_GETRESGID, unix.SYS_GETRESUID, unix.SYS_GETRLIMIT, unix.SYS_GETRUSAGE, unix.SYS_GETSID, unix.SYS_GETSOCKNAME,
	unix.SYS_GETSOCKOPT, unix.SYS_GETTID, unix.SYS_GETTIMEOFDAY, unix.SYS_GETUID, unix.SYS_GETXATTR, unix.SYS_GETXATTRAT, unix.SYS_INOTIFY_ADD_WATCH,
	unix.SYS_INOTIFY_INIT1, unix.SYS_INOTIFY_RM_WATCH, unix.SYS_IO_CANCEL, unix.SYS_IO_DESTROY, unix.SYS_IO_GETEVENTS, unix.SYS_IO_PGETEVENTS,
	unix.SYS_IO_SETUP, unix.SYS_IO_SUBMIT, unix.SYS_IOPRIO_GET, unix.SYS_IOPRIO_SET, unix.SYS_KILL, unix.SYS_LANDLOCK_ADD_RULE,
	unix.SYS_LANDLOCK_CREATE_RULESET, unix.SYS_LANDLOCK_RESTRICT_SELF, unix.SYS_LGETXATTR, unix.SYS_LINKAT, unix.SYS_LISTEN, unix.SYS_LISTXATTR,
	unix.SYS_LISTXATTRAT, unix.SYS_LLISTXATTR, unix.SYS_LREMOVEXATTR, unix.SYS_LSEEK, unix.SYS_LSETXATTR, unix.SYS_MADVISE, unix.SYS_MAP_SHADOW_STACK,
	unix.SYS_MEMBARRIER, unix.SYS_MEMFD_CREATE, unix.SYS_MEMFD_SECRET, unix.SYS_MINCORE, unix.SYS_MKDIRAT, unix.SYS_MLOCK, unix.SYS_MLOCK2,
	unix.SYS_MLOCKALL, unix.SYS_MMAP, unix.SYS_MPROTECT, unix.SYS_MQ_GETSETATTR, unix.SYS_MQ_NOTIFY, unix.SYS_MQ_OPEN, unix.SYS_MQ_TIMEDRECEIVE,
	unix.SYS_MQ_TIMEDSEND, unix.SYS_MQ_UNLINK, unix.SYS_MREMAP, unix.SYS_MSEAL, unix.SYS_MSGCTL, unix.SYS_MSGGET, unix.SYS_MSGRCV, unix.SYS_MSGSND,
	unix.SYS_MSYNC, unix.SYS_MUNLOCK, unix.SYS_MUNLOCKALL, unix.SYS_MUNMAP, unix.SYS_NANOSLEEP, unix.SYS_NEWFSTATAT, unix.SYS_PIDFD_OPEN,
	unix.SYS_PIDFD_SEND_SIGNAL, unix.SYS_PIPE2, unix.SYS_PKEY_ALLOC, unix.SYS_PKEY_FREE, unix.SYS_PKEY_MPROTECT, unix.SYS_PPOLL, unix.SYS_PREAD64,
	unix.SYS_PREADV, unix.SYS_PREADV2, unix.SYS_PRLIMIT64, unix.SYS_PROCESS_MRELEASE, unix.SYS_PSELECT6, unix.SYS_PWRITE64, unix.SYS_PWRITEV,
	unix.SYS_PWRITEV2, unix.SYS_READ, unix.SYS_READAHEAD, unix.SYS_READLINKAT, unix.SYS_READV, unix.SYS_RECVFROM, unix.SYS_RECVMMSG, unix.SYS_RECVMSG,
	unix.SYS_REMAP_FILE_PAGES, unix.SYS_REMOVEXATTR, unix.SYS_REMOVEXATTRAT, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_RESTART_SYSCALL,
	unix.SYS_RSEQ, unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPENDING, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_SIGRETURN,
	unix.SYS_RT_SIGSUSPEND, unix.SYS_RT_SIGTIMEDWAIT, unix.SYS_RT_TGSIGQUEUEINFO, unix.SYS_SCHED_GET_PRIORITY_MAX, unix.SYS_SCHED_GET_PRIORITY_MIN,
	unix.SYS_SCHED_GETAFFINITY, unix.SYS_SCHED_GETATTR, unix.SYS_SCHED_GETPARAM, unix.SYS_SCHED_GETSCHEDULER, unix.SYS_SCHED_RR_GET_INTERVAL,
	unix.SYS_SCHED_SETAFFINITY, unix.SYS_SCHED_SETATTR, unix.SYS_SCHED_SETPARAM, unix.SYS_SCHED_SETSCHEDULER, unix.SYS_SCHED_YIELD, unix.SYS_SECCOMP,
	unix.SYS_SEMCTL, unix.SYS_SEMGET, unix.SYS_SEMOP, unix.SYS_SEMTIMEDOP, unix.SYS_SENDFILE, unix.SYS_SENDMMSG, unix.SYS_SENDMSG, unix.SYS_SENDTO,
	unix.SYS_SET_ROBUST_LIST, unix.SYS_SET_TID_ADDRESS, unix.SYS_SETFSGID, unix.SYS_SETFSUID, unix.SYS_SETGID, unix.SYS_SETGROUPS, unix.SYS_SETITIMER,
	unix.SYS_SETPGID, unix.SYS_SETPRIORITY, unix.SYS_SETREGID, unix.SYS_SETRESGID, unix.SYS_SETRESUID, unix.SYS_SETREUID, unix.SYS_SETRLIMIT,
	unix.SYS_SETSID, unix.SYS_SETSOCKOPT, unix.SYS_SETUID, unix.SYS_SETXATTR, unix.SYS_SETXATTRAT, unix.SYS_SHMAT, unix.SYS_SHMCTL, unix.SYS_SHMDT,
	unix.SYS_SHMGET, unix.SYS_SHUTDOWN, unix.SYS_SIGALTSTACK, unix.SYS_SIGNALFD4, unix.SYS_SPLICE, unix.SYS_STATFS, unix.SYS_STATX, unix.SYS_SYMLINKAT,
	unix.SYS_SYNC, unix.SYS_SYNC_FILE_RANGE, unix.SYS_SYNCFS, unix.SYS_SYSINFO, unix.SYS_TEE, unix.SYS_TGKILL, unix.SYS_TIMER_CREATE,
	unix.SYS_TIMER_DELETE, unix.SYS_TIMER_GETOVERRUN, unix.SYS_TIMER_GETTIME, unix.SYS_TIMER_SETTIME, unix.SYS_TIMERFD_CREATE, unix.SYS_TIMERFD_GETTIME,
	unix.SYS_TIMERFD_SETTIME, unix.SYS_TIMES, unix.SYS_TKILL, unix.SYS_TRUNCATE, unix.SYS_UMASK, unix.SYS_UNAME, unix.SYS_UNLINKAT, unix.SYS_UTIMENSAT,
	unix.SYS_VMSPLICE, unix.SYS_WAIT4, unix.SYS_WAITID, unix.SYS_WRITE, unix.SYS_WRITEV,
}

// fileCall is a call that makes a file or changes its mode.
type fileCall struct {
	call uint32
	mode int
	// node says that it can make devices.
	node bool
	// opens says that the mode counts only if flags ask for a new file.
	opens bool
	flags int
}

var files = []fileCall{
	{call: unix.SYS_FCHMOD, mode: 1}, {call: unix.SYS_FCHMODAT, mode: 2}, {call: unix.SYS_FCHMODAT2, mode: 2},
	{call: unix.SYS_MKNODAT, mode: 2, node: true}, {call: unix.SYS_OPENAT, mode: 3, flags: 2, opens: true},
}

// Programs that only some capabilities have a use for.
var byCap = map[int][]uint32{
	unix.CAP_SYS_CHROOT: {unix.SYS_CHROOT},
	unix.CAP_SYS_PTRACE: {unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_KCMP, unix.SYS_PIDFD_GETFD},
	unix.CAP_SYS_NICE:   {unix.SYS_MBIND, unix.SYS_SET_MEMPOLICY, unix.SYS_SET_MEMPOLICY_HOME_NODE, unix.SYS_MIGRATE_PAGES, unix.SYS_MOVE_PAGES},
	unix.CAP_SYS_TIME:   {unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_CLOCK_ADJTIME, unix.SYS_ADJTIMEX},
	unix.CAP_SYSLOG:     {unix.SYS_SYSLOG},
	unix.CAP_SYS_PACCT:  {unix.SYS_ACCT},
}

// Flags of clone that ask for new namespaces.
const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// calls is the filter of a program that has these capabilities and may make
// these sockets.
func calls(caps Caps, sockets []Rule) Filter {
	f := Filter{Otherwise: Fail(syscall.EPERM), Rules: sockets}
	for _, file := range slices.Concat(files, filesHere) {
		f.Rules = append(f.Rules, file.rules()...)
	}
	f.Rules = append(f.Rules, edges()...)
	for _, call := range slices.Concat(usual, usualHere) {
		f.Rules = append(f.Rules, Rule{Call: call, Then: Allow})
	}
	for number, extra := range byCap {
		if !caps.Has(CapOf(number)) {
			continue
		}
		for _, call := range extra {
			f.Rules = append(f.Rules, Rule{Call: call, Then: Allow})
		}
	}
	return f
}

// rules let nobody make a file that runs as another user, nor a device: the
// program's own world ignores both, but the file may lie in the host's.
func (c *fileCall) rules() []Rule {
	refuse := func(when ...Arg) Rule { return Rule{Call: c.call, When: when, Then: Fail(syscall.EPERM)} }
	var out []Rule
	for _, bit := range []uint32{unix.S_ISUID, unix.S_ISGID} {
		set := Arg{Index: c.mode, Mask: bit, Value: bit}
		if !c.opens {
			out = append(out, refuse(set))
			continue
		}
		for _, flag := range []uint32{unix.O_CREAT, unix.O_TMPFILE &^ unix.O_DIRECTORY} {
			out = append(out, refuse(Arg{Index: c.flags, Mask: flag, Value: flag}, set))
		}
	}
	if c.node {
		for _, kind := range []uint32{unix.S_IFCHR, unix.S_IFBLK} {
			out = append(out, refuse(Arg{Index: c.mode, Mask: unix.S_IFMT, Value: kind}))
		}
	}
	return append(out, Rule{Call: c.call, Then: Allow})
}

// edges are the calls of which a part is allowed.
func edges() []Rule {
	no := Fail(syscall.EPERM)
	out := []Rule{
		{Call: unix.SYS_CLONE, When: []Arg{{Index: 0, Mask: newNamespaces}}, Then: Allow},
		// Their arguments lie in memory, where nobody can judge them; every
		// program has another way for kernels without them.
		{Call: unix.SYS_CLONE3, Then: Fail(syscall.ENOSYS)},
		{Call: unix.SYS_OPENAT2, Then: Fail(syscall.ENOSYS)},
		// What is typed into a terminal comes from who sits before it.
		{Call: unix.SYS_IOCTL, When: []Arg{{Index: 1, Value: unix.TIOCSTI}}, Then: no},
		{Call: unix.SYS_IOCTL, When: []Arg{{Index: 1, Value: 0x541c}}, Then: no}, // TIOCLINUX
		{Call: unix.SYS_IOCTL, Then: Allow},
		{Call: unix.SYS_FCNTL, When: []Arg{{Index: 1, Value: unix.F_NOTIFY}}, Then: no},
		{Call: unix.SYS_FCNTL, Then: Allow},
		{Call: unix.SYS_PRCTL, When: []Arg{{Index: 0, Value: unix.PR_SET_SPECULATION_CTRL}}, Then: no},
		{Call: unix.SYS_PRCTL, Then: Allow},
		{Call: unix.SYS_SOCKETPAIR, When: []Arg{{Index: 0, Value: unix.AF_UNIX}}, Then: Allow},
	}
	for _, persona := range []uint32{0, 0x8, 0x20000, 0x20008, 0xffffffff} {
		out = append(out, Rule{Call: unix.SYS_PERSONALITY, When: []Arg{{Index: 0, Value: persona}}, Then: Allow})
	}
	return out
}

// inetSockets are those of IPv4 and IPv6: streams, datagrams and, if wanted,
// raw ones.
func inetSockets(raw bool) []Rule {
	var out []Rule
	for _, family := range []uint32{unix.AF_INET, unix.AF_INET6} {
		for kind, protocols := range map[uint32][]uint32{
			unix.SOCK_STREAM: {0, unix.IPPROTO_TCP, unix.IPPROTO_MPTCP},
			unix.SOCK_DGRAM:  {0, unix.IPPROTO_UDP, unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6},
		} {
			for _, protocol := range protocols {
				out = append(out, socket(Arg{Index: 0, Value: family}, Arg{Index: 1, Mask: 0xf, Value: kind}, Arg{Index: 2, Value: protocol}))
			}
		}
		if raw {
			out = append(out, socket(Arg{Index: 0, Value: family}, Arg{Index: 1, Mask: 0xf, Value: unix.SOCK_RAW}))
		}
	}
	return out
}

// taskSockets are those of a whole program: also to its neighbours on the
// machine, and to ask the kernel for addresses and routes.
func taskSockets(caps Caps) []Rule {
	raw := caps.Has(CapOf(unix.CAP_NET_RAW))
	out := append(inetSockets(raw), socket(Arg{Index: 0, Value: unix.AF_UNIX}),
		socket(Arg{Index: 0, Value: unix.AF_NETLINK}, Arg{Index: 2, Value: unix.NETLINK_ROUTE}))
	if raw {
		out = append(out, socket(Arg{Index: 0, Value: unix.AF_PACKET}))
	}
	return out
}

func socket(when ...Arg) Rule { return Rule{Call: unix.SYS_SOCKET, When: when, Then: Allow} }
