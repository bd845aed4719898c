package taskenv

import (
	"net"
	"net/netip"
	"strconv"

	"github.com/steppe-run/steppe/structs"
)

// ports tells where each port of the group is, where the task must bind, and
// what the other tasks' ports are.
func (e *Env) ports(in Input) {
	res := in.Alloc.AllocatedResources
	if res == nil {
		return
	}
	for _, port := range res.Shared.Ports {
		e.port(in, port)
	}
	for name, task := range res.Tasks {
		for _, network := range task.Networks {
			own := in.Task != nil && in.Task.Name == name
			e.taskNetwork(name, network, own)
		}
	}
}

func (e *Env) port(in Input, port structs.PortMapping) {
	label := cleanName(port.Label)
	host := strconv.Itoa(port.Value)
	inside := port.Value
	if port.To > 0 {
		inside = port.To
	}
	bind := inside
	if in.Network != nil && in.Network.PortMap[port.Label] > 0 {
		bind = in.Network.PortMap[port.Label]
	}
	e.set("NOMAD_IP_"+label, port.HostIP)
	e.set("NOMAD_PORT_"+label, strconv.Itoa(bind))
	e.set("NOMAD_ADDR_"+label, net.JoinHostPort(port.HostIP, host))
	e.set("NOMAD_HOST_IP_"+label, port.HostIP)
	e.set("NOMAD_HOST_PORT_"+label, host)
	e.set("NOMAD_HOST_ADDR_"+label, net.JoinHostPort(port.HostIP, host))
	e.set("NOMAD_ALLOC_PORT_"+label, strconv.Itoa(inside))
	e.family(label, port.HostIP)
	if status := in.Alloc.NetworkStatus; status != nil && status.Address != "" {
		e.set("NOMAD_ALLOC_INTERFACE_"+label, status.InterfaceName)
		e.set("NOMAD_ALLOC_IP_"+label, status.Address)
		e.set("NOMAD_ALLOC_ADDR_"+label, net.JoinHostPort(status.Address, strconv.Itoa(inside)))
	}
}

func (e *Env) family(label, ip string) {
	addr, err := netip.ParseAddr(ip)
	switch {
	case err != nil:
	case addr.Unmap().Is4():
		e.set("NOMAD_IPv4_"+label, ip)
	default:
		e.set("NOMAD_IPv6_"+label, ip)
	}
}

// taskNetwork sets the older form, where a task has a network of its own.
func (e *Env) taskNetwork(task string, network *structs.NetworkResource, own bool) {
	ports := append(append([]structs.Port(nil), network.ReservedPorts...), network.DynamicPorts...)
	for _, port := range ports {
		suffixes := []string{cleanName(task) + "_" + cleanName(port.Label)}
		if own {
			suffixes = append(suffixes, cleanName(port.Label))
		}
		for _, suffix := range suffixes {
			value := strconv.Itoa(port.Value)
			e.set("NOMAD_IP_"+suffix, network.IP)
			e.set("NOMAD_PORT_"+suffix, value)
			e.set("NOMAD_ADDR_"+suffix, net.JoinHostPort(network.IP, value))
		}
		if own {
			e.set("NOMAD_HOST_PORT_"+cleanName(port.Label), strconv.Itoa(port.Value))
		}
	}
}
