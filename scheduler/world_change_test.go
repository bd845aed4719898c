package scheduler_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-run/steppe/structs"
)

func itoa(n int) string { return strconv.Itoa(n) }

// expand turns n1..n3 into n1, n2, n3 and a,b into a, b.
func expand(name string) []string {
	var out []string
	for part := range strings.SplitSeq(name, ",") {
		from, to, isRange := strings.Cut(part, "..")
		if !isRange {
			out = append(out, part)
			continue
		}
		letters := strings.TrimRight(from, "0123456789")
		lo, _ := strconv.Atoi(strings.TrimPrefix(from, letters))
		hi, _ := strconv.Atoi(strings.TrimPrefix(to, letters))
		for i := lo; i <= hi; i++ {
			out = append(out, letters+itoa(i))
		}
	}
	return out
}

func (w *world) number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

func (w *world) duration(s string) *time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		w.t.Fatal(err)
	}
	return &d
}

// addNode draws a node; cpu=1000 mem=1000 disk=10000 dc=dc1 unless told.
func (w *world) addNode(name string, words []string) {
	n := &structs.Node{
		ID: name, Name: name, Datacenter: "dc1", NodePool: "default", Status: structs.NodeStatusReady,
		SchedulingEligibility: structs.NodeEligible,
		Attributes:            map[string]string{"kernel.name": "linux"},
		Meta:                  map[string]string{},
		Drivers:               map[string]*structs.DriverInfo{"mock": {Detected: true, Healthy: true}},
		HostVolumes:           map[string]*structs.HostVolumeInfo{},
		NodeResources: &structs.NodeResources{
			Cpu: structs.NodeCpuResources{CpuShares: 1000}, Memory: structs.NodeMemoryResources{MemoryMB: 1000},
			Disk:     structs.NodeDiskResources{DiskMB: 10000},
			Networks: []*structs.NetworkResource{{Mode: "host", Device: "eth0", IP: "10.0.0." + strings.TrimLeft(name, "abcdefghijklmnopqrstuvwxyz")}},
		},
		ReservedResources: &structs.NodeReservedResources{},
	}
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		r := n.NodeResources
		switch {
		case key == "cpu":
			r.Cpu.CpuShares = int64(w.number(value))
		case key == "mem":
			r.Memory.MemoryMB = int64(w.number(value))
		case key == "disk":
			r.Disk.DiskMB = int64(w.number(value))
		case key == "dc":
			n.Datacenter = value
		case key == "pool":
			n.NodePool = value
		case key == "class":
			n.NodeClass = value
		case key == "max":
			n.NodeMaxAllocs = w.number(value)
		case key == "dynamic":
			lo, hi, _ := strings.Cut(value, "-")
			r.MinDynamicPort, r.MaxDynamicPort = w.number(lo), w.number(hi)
		case key == "reserved":
			n.ReservedResources.Networks.ReservedHostPorts = value
		case key == "driver":
			n.Drivers[value] = &structs.DriverInfo{Detected: true, Healthy: true}
		case key == "unhealthy":
			n.Drivers[value] = &structs.DriverInfo{Detected: true}
		case key == "volume":
			n.HostVolumes[value] = &structs.HostVolumeInfo{}
		case key == "hostnet":
			net, cidr, _ := strings.Cut(value, ":")
			n.HostNetworks = map[string]*structs.HostNetworkInfo{net: {Name: net, CIDR: cidr}}
		case key == "cores":
			r.Cpu.TotalCpuCores = uint16(w.number(value))
			for i := range r.Cpu.TotalCpuCores {
				r.Cpu.ReservableCpuCores = append(r.Cpu.ReservableCpuCores, i)
			}
		case key == "device":
			r.Devices = append(r.Devices, drawDevices(value))
		case key == "netreserved":
			name, ports, _ := strings.Cut(value, ":")
			n.HostNetworks[name].ReservedPorts = ports
		case key == "readonly":
			n.HostVolumes[value] = &structs.HostVolumeInfo{ReadOnly: true}
		case key == "mode":
			r.Networks = append(r.Networks, &structs.NetworkResource{Mode: value})
		case strings.HasPrefix(key, "attr."):
			n.Attributes[strings.TrimPrefix(key, "attr.")] = value
		case strings.HasPrefix(key, "meta."):
			n.Meta[strings.TrimPrefix(key, "meta.")] = value
		default:
			w.t.Fatalf("unknown word %q of a node", word)
		}
	}
	n.ComputedClass = fmt.Sprintf("%s-%s-%s", n.NodePool, n.Datacenter, n.NodeClass)
	w.putNode(n)
}

// drawDevices reads vendor/type/name:id,id!,... with more words attribute=value
// after a semicolon; ! marks an instance that is not healthy.
func drawDevices(text string) *structs.NodeDeviceResource {
	head, attributes, _ := strings.Cut(text, ";")
	name, ids, _ := strings.Cut(head, ":")
	parts := strings.SplitN(name, "/", 3)
	d := &structs.NodeDeviceResource{Vendor: parts[0], Type: parts[1], Name: parts[2], Attributes: map[string]*structs.Attribute{}}
	for id := range strings.SplitSeq(ids, ",") {
		bare, sick := strings.CutSuffix(id, "!")
		d.Instances = append(d.Instances, &structs.NodeDevice{ID: bare, Healthy: !sick})
	}
	for word := range strings.SplitSeq(attributes, ";") {
		if key, value, ok := strings.Cut(word, "="); ok {
			number, unit, _ := strings.Cut(value, "_")
			if n, err := strconv.ParseInt(number, 10, 64); err == nil {
				d.Attributes[key] = &structs.Attribute{IntVal: &n, Unit: unit}
			} else {
				d.Attributes[key] = &structs.Attribute{StringVal: &value}
			}
		}
	}
	return d
}

func (w *world) putNode(n *structs.Node) {
	w.nodes[n.ID] = n
	w.capacity.UpsertNode(n)
}

func (w *world) changeNode(name, verb string) {
	n := *w.nodes[name]
	n.StatusUpdatedAt = w.now.Unix()
	switch verb {
	case "up":
		n.Status = structs.NodeStatusReady
	case "down":
		n.Status = structs.NodeStatusDown
	case "disconnect":
		n.Status = structs.NodeStatusDisconnected
	case "eligible", "ineligible":
		n.SchedulingEligibility = verb
	case "undrain":
		n.SchedulingEligibility, n.DrainStrategy = structs.NodeEligible, nil
	case "drain":
		n.DrainStrategy = &structs.DrainStrategy{}
		n.SchedulingEligibility = structs.NodeIneligible
		for _, a := range w.allocs {
			if a.NodeID == name && !a.TerminalStatus() && !structs.EveryNode(a.Job.GetType()) {
				w.setAlloc(a.ID, "migrate")
			}
		}
	}
	w.putNode(&n)
}

func (w *world) stopJob(name string) {
	j := *w.jobs[name]
	yes, version := true, j.GetVersion()+1
	j.Stop, j.Version = &yes, &version
	w.jobs[name] = &j
	w.texts[name] = ""
}

// alloc finds an allocation by its id.
func (w *world) alloc(id string) *structs.Allocation {
	i := slices.IndexFunc(w.allocs, func(a *structs.Allocation) bool { return a.ID == id })
	if i < 0 {
		w.t.Fatalf("no allocation %q", id)
	}
	a := *w.allocs[i] // what was handed out before stays as it was
	w.allocs[i] = &a
	return &a
}

func (w *world) setAlloc(id, what string) {
	if !slices.ContainsFunc(w.allocs, func(a *structs.Allocation) bool { return a.ID == id }) {
		fmt.Fprintf(&w.out, "no allocation %s\n", id)
		return
	}
	a, yes, no := w.alloc(id), true, false
	health := func(ok *bool) {
		canary := a.DeploymentStatus.IsCanary()
		a.DeploymentStatus = &structs.AllocDeploymentStatus{Healthy: ok, Canary: canary}
	}
	switch what {
	case "running", "pending", "unknown":
		a.ClientStatus = what
		a.TaskStates = map[string]*structs.TaskState{"t": {State: "running", StartedAt: w.now}}
	case "failed", "complete":
		a.ClientStatus = what
		a.TaskStates = map[string]*structs.TaskState{"t": {State: "dead", Failed: what == "failed", FinishedAt: w.now}}
	case "healthy":
		a.ClientStatus = structs.AllocClientRunning
		health(&yes)
	case "unhealthy":
		health(&no)
	case "migrate":
		a.DesiredTransition.Migrate = &yes
	case "last":
		a.DesiredTransition.Migrate, a.DesiredTransition.AfterReplacement = &yes, &yes
	case "stays": // its drain is called off
		a.DesiredTransition, a.NextAllocation = structs.DesiredTransition{}, ""
	case "release":
		a.DesiredTransition.AfterReplacement = &no
	case "reschedule":
		a.DesiredTransition.Reschedule = &yes
	case "force":
		a.DesiredTransition.ForceReschedule = &yes
	default:
		w.t.Fatalf("can't set an allocation %q", what)
	}
	a.ModifyTime = w.now.UnixNano()
	w.capacity.SetAlloc(a)
}

func (w *world) changeDeployment(job, verb string) {
	d := w.LatestDeployment("default", job)
	switch verb {
	case "pause":
		d.Status = structs.DeploymentStatusPaused
	case "resume":
		d.Status = structs.DeploymentStatusRunning
	case "fail":
		d.Status = structs.DeploymentStatusFailed
	case "succeed":
		d.Status = structs.DeploymentStatusSuccessful
	case "promote":
		for _, s := range d.TaskGroups {
			s.Promoted = true
		}
		for _, a := range w.allocs {
			if a.DeploymentID == d.ID && a.DeploymentStatus.IsCanary() {
				b := w.alloc(a.ID)
				status := *b.DeploymentStatus
				status.Canary = false
				b.DeploymentStatus = &status
			}
		}
	}
}
