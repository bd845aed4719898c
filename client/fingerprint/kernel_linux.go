package fingerprint

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/steppe-run/steppe/internal/cpuset"
)

// affinity lists the processors that this process may use.
func affinity() []uint16 {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return cores(runtime.NumCPU())
	}
	var out []uint16
	for n := range cpuset.Most {
		if set.IsSet(n) {
			out = append(out, uint16(n))
		}
	}
	return out
}

func cgroupFacts(context.Context, Options) (Facts, error) {
	version := "1"
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		version = "2"
	} else if _, err := os.Stat("/sys/fs/cgroup"); err != nil {
		return Facts{}, nil
	}
	return Facts{Attributes: map[string]string{"os.cgroups.version": version}}, nil
}

func numaFacts(_ context.Context, opts Options) (Facts, error) {
	nodes, err := filepath.Glob(filepath.Join(opts.Root, "/sys/devices/system/node/node[0-9]*"))
	if err != nil || len(nodes) == 0 {
		return Facts{}, nil
	}
	f := Facts{Attributes: map[string]string{"numa.node.count": strconv.Itoa(len(nodes))}}
	for _, node := range nodes {
		if list, err := os.ReadFile(filepath.Join(node, "cpulist")); err == nil {
			f.Attributes["numa."+filepath.Base(node)+".cores"] = strings.TrimSpace(string(list))
		}
	}
	return f, nil
}

// landlockFacts asks the kernel for its version of Landlock.
func landlockFacts(context.Context, Options) (Facts, error) {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return Facts{}, nil // the kernel has none, or has it switched off
	}
	return Facts{Attributes: map[string]string{"kernel.landlock": "v" + strconv.Itoa(int(version))}}, nil
}
