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
	"slices"
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
	// ReservedMHz is kept from jobs, and so are ReservedCores. ReservableCores,
	// if there are any, are the only ones that jobs may have.
	ReservedMHz                    int
	ReservedCores, ReservableCores []uint16
	// LinkSpeed in Mbit/s is told instead of what the kernel knows.
	LinkSpeed int
	// NoLinkLocal leaves out addresses that are good on one link only, also of
	// an interface that has no others.
	NoLinkLocal bool
	// Allow, if it isn't empty, names the only parts to look at; Deny those not to.
	Allow, Deny []string
	// Root is where the system's files are found instead of /, and Metadata
	// where clouds answer instead of at their own address.
	Root, Metadata string
	Clock          clock.Clock
}

// Facts are what was found out.
type Facts struct {
	Attributes map[string]string
	// MHz is the total compute, Cores the number of logical processors.
	MHz   int
	Cores int
	// Reservable are the processors that tasks may have for themselves; nil
	// means all. WithheldMHz is the compute of the others.
	Reservable  []uint16
	WithheldMHz int
	// MemoryMB and DiskMB are what jobs could have if nothing were reserved.
	MemoryMB int
	DiskMB   int
	Networks []*structs.NetworkResource
	// HostID is the machine's own id, if it has one.
	HostID string
	// Links name the machine in its cloud's terms.
	Links map[string]string
}

// part is one thing to look at; it returns what it adds.
type part struct {
	name string
	look func(context.Context, Options) (Facts, error)
}

func parts() []part {
	return []part{
		{"arch", archFacts},
		{"cpu", cpuFacts},
		{"memory", memoryFacts},
		{"storage", storageFacts},
		{"network", networkFacts},
		{"host", hostFacts},
		{"cgroup", cgroupFacts},
		{"numa", numaFacts},
		{"landlock", landlockFacts},
		{"signal", signalFacts},
		{"cloud", cloudFacts},
	}
}

// chosen are the parts that the options don't rule out.
func (o Options) chosen() []part {
	var out []part
	for _, p := range parts() {
		if p.name == "cloud" || o.Wants(p.name) { // the cloud looks at each one's own name
			out = append(out, p)
		}
	}
	return out
}

// Wants reports whether a part of that name is to be looked at.
func (o Options) Wants(name string) bool {
	return (len(o.Allow) == 0 || slices.Contains(o.Allow, name)) && !slices.Contains(o.Deny, name)
}

// errSlow says that a part took longer than Patience.
var errSlow = errors.New("it took too long")

// Look finds everything out, side by side. The errors name what could not be.
func Look(ctx context.Context, opts Options) (Facts, []error) {
	all := opts.chosen()
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
	f.Reservable = append(f.Reservable, o.Reservable...)
	f.WithheldMHz += o.WithheldMHz
	f.MemoryMB += o.MemoryMB
	f.DiskMB += o.DiskMB
	f.Networks = append(f.Networks, o.Networks...)
	if o.HostID != "" {
		f.HostID = o.HostID
	}
	if len(o.Links) > 0 {
		f.Links = o.Links
	}
}

func itoa[T int | int64 | uint64](n T) string { return strconv.FormatInt(int64(n), 10) }
