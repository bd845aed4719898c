//go:build linux

package confine

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Verdict is what becomes of a system call.
type Verdict uint32

// The verdicts, beside Fail.
const (
	Allow Verdict = 0x7fff0000
	Kill  Verdict = 0x80000000
)

// Fail lets a system call fail.
func Fail(errno syscall.Errno) Verdict { return Verdict(0x00050000 | uint32(errno)) }

// Rule says what becomes of one system call, if all of When holds.
type Rule struct {
	Call uint32
	When []Arg
	Then Verdict
}

// Arg is one argument's value under a mask. Only the lower 32 bits count: what
// is tested here are ints and flags, whose upper half the kernel ignores, so
// that one who sets it must not get past.
type Arg struct {
	Index int
	// Mask of 0 is all 32 bits.
	Mask  uint32
	Value uint32
}

// Filter judges system calls: by the first rule with conditions that fits, else
// by the rule without, else by Otherwise. Those that are newer than this list
// fail as on a kernel that hasn't got them.
type Filter struct {
	Rules     []Rule
	Otherwise Verdict
}

// ErrNoFilter says that there is no list of system calls for this machine.
var ErrNoFilter = errors.New("system calls can't be filtered on this kind of machine")

// Load puts the filter before the calling thread, and what it executes, for
// good. It needs NoNewPrivileges, or to be root.
func (f *Filter) Load() error { return f.load(0) }

func (f *Filter) load(flags uintptr) error {
	if machine == 0 {
		return ErrNoFilter
	}
	program := f.assemble()
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	// By way of the runtime's own call: with TSYNC all threads get it.
	r, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return fmt.Errorf("filter system calls: %w", errno)
	}
	if r != 0 {
		return fmt.Errorf("filter system calls: thread %d can't take the filter", r)
	}
	return nil
}

// Offsets in what the kernel shows of a call.
const (
	atCall    = 0
	atMachine = 4
	atArgs    = 16
)

// otherABI marks the calls of a second table on amd64.
const otherABI = 0x40000000

func load(at uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
}

func jump(test uint16, k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | test, Jt: yes, Jf: no, K: k}
}

func ret(v Verdict) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: uint32(v)}
}

// assemble writes the filter as a program for the kernel.
func (f *Filter) assemble() []unix.SockFilter {
	out := []unix.SockFilter{
		load(atMachine), jump(unix.BPF_JEQ, machine, 1, 0), ret(Kill),
		load(atCall), jump(unix.BPF_JGE, otherABI, 0, 1), ret(Fail(syscall.ENOSYS)),
	}
	if f.Otherwise != Allow {
		out = append(out, jump(unix.BPF_JGT, newest, 0, 1), ret(Fail(syscall.ENOSYS)))
	}
	var plain []Rule
	for _, rule := range f.Rules {
		if len(rule.When) == 0 {
			plain = append(plain, rule)
			continue
		}
		out = append(out, rule.assemble()...)
	}
	for _, r := range runs(plain) {
		out = append(out, jump(unix.BPF_JGE, r.from, 0, 2), jump(unix.BPF_JGT, r.to, 1, 0), ret(r.then))
	}
	return append(out, ret(f.Otherwise))
}

// assemble tests the call's number, then its arguments, and leaves the number
// loaded.
func (r *Rule) assemble() []unix.SockFilter {
	var tests []unix.SockFilter
	for _, arg := range r.When {
		tests = append(tests, load(atArgs+8*uint32(arg.Index))) // little endian: the lower half is first
		if arg.Mask != 0 {
			tests = append(tests, unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: arg.Mask})
		}
		tests = append(tests, jump(unix.BPF_JEQ, arg.Value, 0, 0))
	}
	tests = append(tests, ret(r.Then))
	for i := range tests {
		if tests[i].Code == unix.BPF_JMP|unix.BPF_K|unix.BPF_JEQ {
			tests[i].Jf = uint8(len(tests) - 1 - i)
		}
	}
	out := append([]unix.SockFilter{jump(unix.BPF_JEQ, r.Call, 0, uint8(len(tests)+1))}, tests...)
	return append(out, load(atCall))
}

// run is a row of calls with one verdict.
type run struct {
	from, to uint32
	then     Verdict
}

func runs(rules []Rule) []run {
	rules = slices.Clone(rules)
	slices.SortStableFunc(rules, func(a, b Rule) int { return int(a.Call) - int(b.Call) })
	var out []run
	for _, r := range rules {
		last := len(out) - 1
		switch {
		case last >= 0 && out[last].to == r.Call: // told twice: the first holds
		case last >= 0 && out[last].to+1 == r.Call && out[last].then == r.Then:
			out[last].to = r.Call
		default:
			out = append(out, run{r.Call, r.Call, r.Then})
		}
	}
	return out
}

// Program is the filter for somebody else's program, which has these
// capabilities: what programs do by themselves, and nothing that reaches for
// the machine.
func Program(caps Caps) Filter { return calls(caps, taskSockets(caps)) }
