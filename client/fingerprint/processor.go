package fingerprint

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/shirou/gopsutil/v4/cpu"

	"github.com/steppe-run/steppe/internal/cpuset"
)

// fallbackMHz is assumed of a core whose frequency the machine hides.
const fallbackMHz = 1000

// processor is one logical processor.
type processor struct {
	id  uint16
	mhz int
	// efficient is a core of those that are slower and need less power, on a
	// machine that has both kinds.
	efficient bool
}

func archFacts(context.Context, Options) (Facts, error) {
	return Facts{Attributes: map[string]string{"cpu.arch": runtime.GOARCH}}, nil
}

func cpuFacts(ctx context.Context, opts Options) (Facts, error) {
	infos, err := cpu.InfoWithContext(ctx)
	f := Facts{Attributes: map[string]string{}}
	told := 0
	if len(infos) > 0 {
		f.Attributes["cpu.modelname"] = infos[0].ModelName
		told = int(infos[0].Mhz)
	}
	all := processors(opts, told)
	f.count(all, opts)
	for _, kind := range []struct {
		name      string
		efficient bool
	}{{"performance", false}, {"efficiency", true}} {
		f.kind(all, kind.name, kind.efficient)
	}
	return f, err
}

// count adds up what the processors have, and what of it jobs may have.
func (f *Facts) count(all []processor, opts Options) {
	ids := make([]uint16, len(all))
	for i, p := range all {
		ids[i] = p.id
		f.MHz += p.mhz
	}
	f.Cores = len(all)
	f.Reservable = ids
	if len(opts.ReservableCores) > 0 {
		f.Reservable = cpuset.Common(ids, opts.ReservableCores)
	}
	f.Reservable = cpuset.Minus(f.Reservable, opts.ReservedCores)
	if opts.CPUTotalCompute > 0 {
		f.MHz = opts.CPUTotalCompute
	}
	if f.Cores > 0 {
		f.WithheldMHz = f.MHz * (f.Cores - len(f.Reservable)) / f.Cores
	}
	f.Attributes["cpu.numcores"] = itoa(f.Cores)
	f.Attributes["cpu.reservablecores"] = itoa(len(f.Reservable))
	f.Attributes["cpu.totalcompute"] = itoa(f.MHz)
	f.Attributes["cpu.usablecompute"] = itoa(max(f.MHz-f.WithheldMHz-opts.ReservedMHz, 0))
}

// kind tells number and frequency of one kind of core; on a machine with one
// kind only there is just the frequency.
func (f *Facts) kind(all []processor, name string, efficient bool) {
	n, mhz := 0, 0
	for _, p := range all {
		if p.efficient == efficient {
			n++
			mhz = max(mhz, p.mhz)
		}
	}
	switch {
	case n == len(all):
		f.Attributes["cpu.frequency"] = itoa(mhz)
	case n > 0:
		f.Attributes["cpu.numcores."+name] = itoa(n)
		f.Attributes["cpu.frequency."+name] = itoa(mhz)
	}
}

// processors lists those that the agent may use.
func processors(opts Options, told int) []processor {
	if told <= 0 {
		told = fallbackMHz
	}
	var out []processor
	slow := efficient(opts.Root)
	for _, id := range usableProcessors(opts.Root) {
		p := processor{id: id, mhz: told, efficient: slow[id]}
		if mhz := baseMHz(opts.Root, id); mhz > 0 {
			p.mhz = mhz
		}
		out = append(out, p)
	}
	return out
}

// usableProcessors are those that are online and that the agent may use.
func usableProcessors(root string) []uint16 {
	allowed := affinity()
	online, err := cpuset.Parse(sysText(root, "devices/system/cpu/online"))
	switch {
	case err != nil || len(online) == 0:
		return allowed
	case root != "":
		return online
	}
	if both := cpuset.Common(online, allowed); len(both) > 0 {
		return both
	}
	return allowed
}

// baseMHz is the frequency that a processor keeps up, 0 where nobody tells.
func baseMHz(root string, id uint16) int {
	for _, name := range []string{"base_frequency", "cpuinfo_max_freq"} {
		text := sysText(root, filepath.Join("devices/system/cpu", "cpu"+strconv.Itoa(int(id)), "cpufreq", name))
		if kHz, err := strconv.Atoi(text); err == nil && kHz > 0 {
			return kHz / 1000
		}
	}
	return 0
}

// efficient finds the slower ones of a machine with two kinds of cores, as the
// kernel names them on x86, and by their capacity on ARM.
func efficient(root string) map[uint16]bool {
	out := map[uint16]bool{}
	atoms, err := cpuset.Parse(sysText(root, "devices/cpu_atom/cpus"))
	if err == nil && len(atoms) > 0 {
		for _, id := range atoms {
			out[id] = true
		}
		return out
	}
	capacity, most := map[uint16]int{}, 0
	for _, id := range usableProcessors(root) {
		text := sysText(root, filepath.Join("devices/system/cpu", "cpu"+strconv.Itoa(int(id)), "cpu_capacity"))
		if n, err := strconv.Atoi(text); err == nil {
			capacity[id] = n
			most = max(most, n)
		}
	}
	for id, n := range capacity {
		if 2*n < most+most/2 { // a bit slower is no other kind
			out[id] = true
		}
	}
	return out
}

// sysText reads a small file of the kernel's; "" where there is none.
func sysText(root, name string) string {
	data, err := os.ReadFile(filepath.Join(root, "/sys", name))
	if err != nil || len(data) > maxSysText {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// maxSysText is more than any of the kernel's small files holds.
const maxSysText = 64 << 10
