package service

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-run/steppe/structs"
)

// resolve turns the services of a workload into registrations and probes.
func resolve(w Workload, now time.Time) ([]*structs.ServiceRegistration, []*probe, []error) {
	var regs []*structs.ServiceRegistration
	var probes []*probe
	var errs []error
	for _, svc := range w.Services {
		name := serviceName(w, svc)
		if svc.Provider != structs.ServiceProviderNomad {
			errs = append(errs, fmt.Errorf("service %q: provider %q is not built yet; use provider = %q", name, svc.Provider, structs.ServiceProviderNomad))
			continue
		}
		ip, port, err := address(w, svc.AddressMode, svc.PortLabel, svc.Address)
		if err != nil {
			errs = append(errs, fmt.Errorf("service %q: %w", name, err))
			continue
		}
		regs = append(regs, &structs.ServiceRegistration{
			ID:          registrationID(w, name, svc.PortLabel),
			ServiceName: name,
			Namespace:   w.Alloc.Namespace,
			NodeID:      w.Node.ID,
			Datacenter:  w.Node.Datacenter,
			JobID:       w.Alloc.JobID,
			AllocID:     w.Alloc.ID,
			Tags:        tags(w, svc),
			Address:     ip,
			Port:        port,
		})
		for i := range svc.Checks {
			p, err := newProbe(w, svc, &svc.Checks[i], now)
			if err != nil {
				errs = append(errs, fmt.Errorf("check of service %q: %w", name, err))
				continue
			}
			probes = append(probes, p)
		}
	}
	return regs, probes, errs
}

// serviceName resolves the names that stand for the job's parts.
func serviceName(w Workload, svc *structs.Service) string {
	name := svc.Name
	if strings.Contains(name, "${") {
		base := w.Alloc.JobID + "-" + w.Alloc.TaskGroup
		if w.Task != "" {
			base += "-" + w.Task
		}
		name = strings.NewReplacer(
			"${JOB}", w.Alloc.JobID, "${TASKGROUP}", w.Alloc.TaskGroup, "${TASK}", w.Task, "${BASE}", base,
		).Replace(name)
	}
	return w.Env.Replace(name)
}

func tags(w Workload, svc *structs.Service) []string {
	list := svc.Tags
	if w.Alloc.DeploymentStatus.IsCanary() && len(svc.CanaryTags) > 0 {
		list = svc.CanaryTags
	}
	return w.Env.ReplaceAll(list)
}

// registrationID is the id under which others know a service of an
// allocation; its form is part of the interface.
func registrationID(w Workload, name, port string) string {
	owner := w.Task
	if owner == "" {
		owner = "group-" + w.Alloc.TaskGroup
	}
	return fmt.Sprintf("_nomad-task-%s-%s-%s-%s", w.Alloc.ID, owner, name, port)
}

var (
	errNoDriverNetwork = errors.New("address_mode is driver, but the driver tells no address of the task")
	errNoAllocNetwork  = errors.New("address_mode is alloc, but the group has no network of its own")
)

// address finds where a service or check is reached.
func address(w Workload, mode, label, fixed string) (string, int, error) {
	label = w.Env.Replace(label)
	if fixed != "" {
		_, port, err := hostPort(w, label)
		return w.Env.Replace(fixed), port, err
	}
	switch mode {
	case structs.AddressModeDriver:
		if w.Network == nil || w.Network.Addr == "" {
			return "", 0, errNoDriverNetwork
		}
		port, err := driverPort(w, label)
		return w.Network.Addr, port, err
	case structs.AddressModeAlloc, addressModeAllocIPv6:
		return allocAddress(w, mode, label)
	case structs.AddressModeHost:
		return hostPort(w, label)
	case "", structs.AddressModeAuto:
		if w.Network != nil && w.Network.AutoAdvertise && w.Network.Addr != "" {
			port, err := driverPort(w, label)
			return w.Network.Addr, port, err
		}
		return hostPort(w, label)
	}
	return "", 0, fmt.Errorf("address_mode %q is unknown", mode)
}

const addressModeAllocIPv6 = "alloc_ipv6"

// hostPort is the port as the node's network shows it.
func hostPort(w Workload, label string) (string, int, error) {
	ip := w.Node.Attributes["unique.network.ip-address"]
	if label == "" {
		return ip, 0, nil
	}
	if m, ok := mapping(w.Alloc, label); ok {
		if m.HostIP != "" {
			ip = m.HostIP
		}
		return ip, m.Value, nil
	}
	if r := w.Alloc.AllocatedResources; r != nil && w.Task != "" && r.Tasks[w.Task] != nil {
		for _, network := range r.Tasks[w.Task].Networks {
			for _, p := range append(append([]structs.Port(nil), network.ReservedPorts...), network.DynamicPorts...) {
				if p.Label == label {
					return network.IP, p.Value, nil
				}
			}
		}
	}
	if port, err := strconv.Atoi(label); err == nil {
		return ip, port, nil
	}
	return "", 0, fmt.Errorf("port %q is not among the ports of the group's network block", label)
}

func driverPort(w Workload, label string) (int, error) {
	if label == "" {
		return 0, nil
	}
	if port := w.Network.PortMap[label]; port > 0 {
		return port, nil
	}
	if port, err := strconv.Atoi(label); err == nil {
		return port, nil
	}
	if m, ok := mapping(w.Alloc, label); ok {
		return inside(m), nil
	}
	return 0, fmt.Errorf("port %q is unknown to the driver's network", label)
}

func allocAddress(w Workload, mode, label string) (string, int, error) {
	status := w.Alloc.NetworkStatus
	if status == nil || status.Address == "" {
		return "", 0, errNoAllocNetwork
	}
	ip := status.Address
	if mode == addressModeAllocIPv6 {
		ip = status.AddressIPv6
	}
	if label == "" {
		return ip, 0, nil
	}
	if m, ok := mapping(w.Alloc, label); ok {
		return ip, inside(m), nil
	}
	port, err := strconv.Atoi(label)
	if err != nil {
		return "", 0, fmt.Errorf("port %q is not among the ports of the group's network block", label)
	}
	return ip, port, nil
}

func mapping(a *structs.Allocation, label string) (structs.PortMapping, bool) {
	if a.AllocatedResources == nil {
		return structs.PortMapping{}, false
	}
	for _, m := range a.AllocatedResources.Shared.Ports {
		if m.Label == label {
			return m, true
		}
	}
	return structs.PortMapping{}, false
}

func inside(m structs.PortMapping) int {
	if m.To > 0 {
		return m.To
	}
	return m.Value
}

// checkID names a check for good: the same check of the same allocation has
// it also after a restart of the agent.
func checkID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}
