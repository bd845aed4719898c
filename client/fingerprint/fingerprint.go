// Package fingerprint finds out what this machine is and has: processor,
// memory, disk, network, kernel and system, as the attributes that jobs know
// and as the resources that the scheduler hands out.
//
// Nothing here is fatal and nothing may take long: what can't be found out is
// left out, with a word for the log. It must not know drivers or servers.
//
// Begin reading at Look.
package fingerprint

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

// Patience is how long each part may take.
const Patience = 2 * time.Second

// Options say what is configured instead of found out.
type Options struct {
	// AllocDir is where the disk is looked at.
	AllocDir string
	// Interface names the network interface; empty: the default route's, or
	// the loopback when Loopback is set.
	Interface string
	Loopback  bool
	// CPUTotalCompute, MemoryTotalMB, DiskTotalMB and DiskFreeMB replace what
	// was found, where they are not zero.
	CPUTotalCompute, MemoryTotalMB, DiskTotalMB, DiskFreeMB int
	// ReservedMHz is kept from jobs.
	ReservedMHz int
	Clock       clock.Clock
}

// Facts are what was found out.
type Facts struct {
	Attributes map[string]string
	// MHz is the total compute, Cores the number of logical processors.
	MHz   int
	Cores int
	// MemoryMB and DiskMB are what jobs could have if nothing were reserved.
	MemoryMB int
	DiskMB   int
	Networks []*structs.NetworkResource
	// HostID is the machine's own id, if it has one.
	HostID string
}

// part is one thing to look at; it returns what it adds.
type part struct {
	name string
	look func(context.Context, Options) (Facts, error)
}

func parts() []part {
	return []part{
		{"cpu", cpuFacts},
		{"memory", memoryFacts},
		{"storage", storageFacts},
		{"network", networkFacts},
		{"host", hostFacts},
		{"cgroup", cgroupFacts},
		{"numa", numaFacts},
		{"landlock", landlockFacts},
	}
}

// errSlow says that a part took longer than Patience.
var errSlow = errors.New("it took too long")

// Look finds everything out, side by side. The errors name what could not be.
func Look(ctx context.Context, opts Options) (Facts, []error) {
	all := parts()
	facts := make([]Facts, len(all))
	errs := make([]error, len(all))
	group := loop.New(ctx)
	for i, p := range all {
		group.Go(p.name, func(ctx context.Context) error {
			facts[i], errs[i] = within(ctx, opts, p)
			return nil
		})
	}
	_ = group.Wait() // parts return their errors by the list
	out := Facts{Attributes: map[string]string{}}
	var failed []error
	for i := range all {
		out.add(facts[i])
		if errs[i] != nil {
			failed = append(failed, fmt.Errorf("fingerprint %s: %w", all[i].name, errs[i]))
		}
	}
	return out, failed
}

// within gives a part its deadline.
func within(ctx context.Context, opts Options, p part) (Facts, error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	f, err := p.look(ctx, opts)
	if err == nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = errSlow
	}
	return f, err
}

func (f *Facts) add(o Facts) {
	maps.Copy(f.Attributes, o.Attributes)
	f.MHz += o.MHz
	f.Cores += o.Cores
	f.MemoryMB += o.MemoryMB
	f.DiskMB += o.DiskMB
	f.Networks = append(f.Networks, o.Networks...)
	if o.HostID != "" {
		f.HostID = o.HostID
	}
}

func itoa[T int | int64 | uint64](n T) string { return strconv.FormatInt(int64(n), 10) }
