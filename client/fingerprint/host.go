package fingerprint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/mem"
)

func memoryFacts(ctx context.Context, opts Options) (Facts, error) {
	bytes := uint64(opts.MemoryTotalMB) << 20
	if bytes == 0 {
		info, err := mem.VirtualMemoryWithContext(ctx)
		if err != nil {
			return Facts{}, err
		}
		bytes = info.Total
	}
	return Facts{
		MemoryMB:   int(bytes >> 20),
		Attributes: map[string]string{"memory.totalbytes": itoa(bytes)},
	}, nil
}

func storageFacts(ctx context.Context, opts Options) (Facts, error) {
	usage, err := disk.UsageWithContext(ctx, opts.AllocDir)
	if err != nil {
		return Facts{}, err
	}
	total, free := usage.Total, usage.Free
	if opts.DiskTotalMB > 0 {
		total = uint64(opts.DiskTotalMB) << 20
	}
	if opts.DiskFreeMB > 0 {
		free = uint64(opts.DiskFreeMB) << 20
	}
	free = min(free, total)
	return Facts{
		DiskMB: int(free >> 20),
		Attributes: map[string]string{
			"unique.storage.volume":     volume(ctx, opts.AllocDir),
			"unique.storage.bytestotal": itoa(total),
			"unique.storage.bytesfree":  itoa(free),
		},
	}, nil
}

// volume names the device that holds path: the one whose mount point is the
// longest prefix.
func volume(ctx context.Context, path string) string {
	mounts, err := disk.PartitionsWithContext(ctx, true)
	if err != nil {
		return ""
	}
	best, device := -1, ""
	for _, m := range mounts {
		at := strings.TrimSuffix(m.Mountpoint, "/")
		if len(at) > best && (path == at || strings.HasPrefix(path, at+"/")) {
			best, device = len(at), m.Device
		}
	}
	return device
}

func hostFacts(ctx context.Context, _ Options) (Facts, error) {
	f := Facts{Attributes: map[string]string{
		"kernel.name": runtime.GOOS,
		"kernel.arch": runtime.GOARCH,
	}}
	name, nameErr := os.Hostname()
	if nameErr == nil {
		f.Attributes["unique.hostname"] = name
	}
	info, err := host.InfoWithContext(ctx)
	if err != nil {
		return f, fmt.Errorf("ask the system: %w", err)
	}
	f.HostID = strings.ToLower(info.HostID)
	for key, value := range map[string]string{
		"os.name":        info.Platform,
		"os.version":     info.PlatformVersion,
		"kernel.version": info.KernelVersion,
		"kernel.arch":    info.KernelArch,
		"unique.host_id": f.HostID,
	} {
		if value != "" {
			f.Attributes[key] = value
		}
	}
	return f, nameErr
}

func signalFacts(context.Context, Options) (Facts, error) {
	return Facts{Attributes: map[string]string{"os.signals": signals}}, nil
}

// signals are those that tasks can be sent by name.
const signals = "SIGABRT,SIGALRM,SIGBUS,SIGCHLD,SIGCONT,SIGFPE,SIGHUP,SIGILL,SIGINT,SIGIO,SIGIOT,SIGKILL,SIGPIPE,SIGPROF," +
	"SIGQUIT,SIGSEGV,SIGSTOP,SIGSYS,SIGTERM,SIGTRAP,SIGTSTP,SIGTTIN,SIGTTOU,SIGURG,SIGUSR1,SIGUSR2,SIGWINCH,SIGXCPU,SIGXFSZ"

// bootID is a file whose UUID is another one each time the machine starts.
const bootID = "/proc/sys/kernel/random/boot_id"

// HostUUID returns the UUID of the machine, or of the system installed on it:
// what stays the same when the machine starts again.
func HostUUID(ctx context.Context) (string, error) {
	id, err := host.HostIDWithContext(ctx)
	if err != nil {
		return "", fmt.Errorf("find the host's UUID: %w", err)
	}
	boot, err := os.ReadFile(bootID)
	if err == nil && strings.EqualFold(strings.TrimSpace(string(boot)), id) {
		return "", errors.New("find the host's UUID: it has one only until it starts again")
	}
	return id, nil
}
