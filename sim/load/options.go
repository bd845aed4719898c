// Package load measures a cluster: it starts a real server as a process of its
// own and many simulated nodes in a second one, has jobs placed through the HTTP
// API, and says how fast that went and what it cost the server.
//
// It must not know how a server or a node works inside: the server is measured
// by its own accounting over HTTP, and the nodes speak the link that real ones
// speak. Begin reading at Run; the second process begins at Serve.
package load

import (
	"errors"
	"fmt"
	"time"

	"github.com/steppe-run/steppe/structs"
)

// Options says what is measured.
type Options struct {
	// Nodes are simulated, Jobs registered with Count allocations each.
	Nodes, Jobs, Count int
	// Connections is how many jobs are being registered at a time, each over a
	// connection of its own.
	Connections int
	// Equal makes all nodes alike; otherwise they are of four sizes.
	Equal bool
	// Type is service or batch.
	Type string
	// Spread asks each job to be spread evenly over the racks, Ports for so
	// many dynamic ports an allocation.
	Spread bool
	Ports  int
	// CPU (MHz) and MemoryMB are what an allocation asks.
	CPU, MemoryMB int
	// Sizing is how many allocations are placed in a second wave that waits
	// before it runs, so that pending and running ones are told apart. Zero
	// skips it, and what it measures.
	Sizing int
	// Timeout bounds the whole run.
	Timeout time.Duration
	// Algorithm is the scheduler's: binpack or spread; empty keeps the server's.
	Algorithm string
	// Program is this program's file, Dir where the processes keep their files;
	// the run removes what it made there.
	Program, Dir string
}

// Check says what is wrong with the options.
func (o *Options) Check() error {
	var errs []error
	positive := func(name string, n int) {
		if n < 1 {
			errs = append(errs, fmt.Errorf("-%s is %d: give at least 1", name, n))
		}
	}
	positive("nodes", o.Nodes)
	positive("jobs", o.Jobs)
	positive("count", o.Count)
	positive("connections", o.Connections)
	positive("cpu", o.CPU)
	positive("memory", o.MemoryMB)
	if o.Ports < 0 || o.Sizing < 0 {
		errs = append(errs, errors.New("-ports and -sizing can't be negative"))
	}
	if o.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("-timeout is %s: a run needs time", o.Timeout))
	}
	if o.Type != structs.JobTypeService && o.Type != structs.JobTypeBatch {
		errs = append(errs, fmt.Errorf("-type is %q: simulated nodes run service and batch jobs", o.Type))
	}
	if a := o.Algorithm; a != "" && a != structs.SchedulerBinPack && a != structs.SchedulerSpread {
		errs = append(errs, fmt.Errorf("-algorithm is %q: it is binpack or spread", a))
	}
	return errors.Join(errs...)
}

// job is a job of a wave.
func (o *Options) job(wave, id string, submitted time.Time) *structs.Job {
	group, kind := "main", o.Type
	count, cpu, memory, disk, logs := o.Count, o.CPU, o.MemoryMB, 10, 1
	j := &structs.Job{
		ID: &id, Type: &kind,
		Meta: map[string]string{metaWave: wave, metaSubmitted: fmt.Sprint(submitted.UnixNano())},
		TaskGroups: []*structs.TaskGroup{{
			Name: &group, Count: &count, EphemeralDisk: &structs.EphemeralDisk{SizeMB: &disk},
			Tasks: []*structs.Task{{
				Name: "main", Driver: simDriver,
				Resources: &structs.Resources{CPU: &cpu, MemoryMB: &memory},
				LogConfig: &structs.LogConfig{MaxFiles: &logs, MaxFileSizeMB: &logs},
			}},
		}},
	}
	if o.Spread {
		weight := int8(100)
		j.Spreads = []*structs.Spread{{Attribute: "${meta.rack}", Weight: &weight}}
	}
	if o.Ports > 0 {
		network := &structs.NetworkResource{Mode: "host"}
		for p := range o.Ports {
			network.DynamicPorts = append(network.DynamicPorts, structs.Port{Label: fmt.Sprintf("p%d", p)})
		}
		j.TaskGroups[0].Networks = []*structs.NetworkResource{network}
	}
	return j
}

// The job's metadata by which simulated nodes know what is asked of them.
const (
	metaWave      = "sim.wave"
	metaSubmitted = "sim.submitted"
	simDriver     = "mock"
)
