package fingerprint

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/steppe-run/steppe/structs"
)

// defaultSpeed in Mbit/s is told where the kernel doesn't know any.
const defaultSpeed = 1000

func networkFacts(_ context.Context, opts Options) (Facts, error) {
	name := opts.Interface
	if name == "" && opts.Loopback {
		name = loopbackName()
	}
	if name == "" {
		name = defaultInterface()
	}
	if name == "" {
		return Facts{}, fmt.Errorf("there is no default route: set client.network_interface")
	}
	iface, err := net.InterfaceByName(name)
	if err != nil {
		return Facts{}, fmt.Errorf("find interface %q: %w", name, err)
	}
	addrs, err := iface.Addrs()
	if err != nil {
		return Facts{}, fmt.Errorf("find addresses of %q: %w", name, err)
	}
	var f Facts
	ips := usable(addrs)
	if len(ips) == 0 && !opts.NoLinkLocal {
		ips = linkLocal(addrs)
	}
	for _, ip := range ips {
		speed := linkSpeed(name, opts.LinkSpeed)
		f.Networks = append(f.Networks, &structs.NetworkResource{
			Mode: "host", Device: name, IP: ip.String(), CIDR: single(ip), MBits: &speed,
		})
	}
	if len(f.Networks) == 0 {
		return f, fmt.Errorf("interface %q has no usable address", name)
	}
	f.Attributes = map[string]string{"unique.network.ip-address": f.Networks[0].IP}
	return f, nil
}

// usable are the addresses others may be given, those of version 4 first.
func usable(addrs []net.Addr) []net.IP {
	var four, six []net.IP
	for _, addr := range addrs {
		network, ok := addr.(*net.IPNet)
		switch {
		case !ok || network.IP.IsLinkLocalUnicast():
		case network.IP.To4() != nil:
			four = append(four, network.IP.To4())
		default:
			six = append(six, network.IP)
		}
	}
	return append(four, six...)
}

// linkLocal are addresses that are good on one link only: what an interface is
// reached by that has no others.
func linkLocal(addrs []net.Addr) []net.IP {
	var out []net.IP
	for _, addr := range addrs {
		if network, ok := addr.(*net.IPNet); ok && network.IP.IsLinkLocalUnicast() {
			out = append(out, network.IP)
		}
	}
	return out
}

func single(ip net.IP) string {
	if ip.To4() != nil {
		return ip.String() + "/32"
	}
	return ip.String() + "/128"
}

func loopbackName() string {
	all, err := net.Interfaces()
	if err != nil {
		return ""
	}
	for _, iface := range all {
		if iface.Flags&net.FlagLoopback != 0 {
			return iface.Name
		}
	}
	return ""
}

// defaultInterface is the interface of the default route; where the kernel
// doesn't tell, the first one that is up and has an address.
func defaultInterface() string {
	if data, err := os.ReadFile("/proc/net/route"); err == nil {
		for _, line := range strings.Split(string(data), "\n") {
			fields := strings.Fields(line)
			if len(fields) > 7 && fields[1] == "00000000" && fields[7] == "00000000" {
				return fields[0]
			}
		}
	}
	all, err := net.Interfaces()
	if err != nil {
		return ""
	}
	for _, iface := range all {
		if iface.Flags&net.FlagUp == 0 || iface.Flags&net.FlagLoopback != 0 {
			continue
		}
		if addrs, err := iface.Addrs(); err == nil && len(usable(addrs)) > 0 {
			return iface.Name
		}
	}
	return loopbackName()
}

// linkSpeed is what is configured, else what the kernel tells.
func linkSpeed(name string, configured int) int {
	if configured > 0 {
		return configured
	}
	if speed, err := strconv.Atoi(sysText("", "class/net/"+name+"/speed")); err == nil && speed > 0 {
		return speed
	}
	return defaultSpeed
}
