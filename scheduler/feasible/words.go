package feasible

import (
	"cmp"
	"slices"
	"strings"

	"github.com/steppe-run/steppe/structs"
)

// wanted says what a constraint asks of its left side.
func wanted(c *structs.Constraint) string {
	switch c.Operand {
	case structs.OpAttributeSet, structs.OpAttributeNotSet:
		return c.Operand
	}
	return strings.TrimSpace(cmp.Or(c.Operand, "=") + " " + c.RTarget)
}

// actual says what a node has on the left side of a constraint, and on its
// right side if that differs from node to node.
func actual(c *structs.Constraint, n *structs.Node) string {
	left := value(c.LTarget, n)
	if !strings.Contains(c.RTarget, "${") {
		return left
	}
	return left + ", " + c.RTarget + " being " + value(c.RTarget, n)
}

func value(target string, n *structs.Node) string {
	v, ok := Value(target, n)
	switch {
	case !ok:
		return "not set"
	case v == "":
		return "empty"
	}
	return v
}

func driverState(n *structs.Node, name string) string {
	d := n.Drivers[name]
	switch {
	case d == nil:
		return "no such driver"
	case !d.Detected:
		return "not detected"
	case d.HealthDescription != "":
		return "unhealthy: " + d.HealthDescription
	}
	return "unhealthy"
}

func volumeWanted(source string, readOnly bool) string {
	if readOnly {
		return "a host volume " + source
	}
	return "a writable host volume " + source
}

func volumeState(n *structs.Node, source string) string {
	if n.HostVolumes[source] == nil {
		return "no such host volume"
	}
	return "read only"
}

func modes(n *structs.Node) string {
	if n.NodeResources == nil {
		return listed(nil)
	}
	var out []string
	for _, net := range n.NodeResources.Networks {
		out = append(out, cmp.Or(net.Mode, structs.NetworkModeHost))
	}
	return listed(out)
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

// State says what keeps a node from taking any placement, "" if nothing does.
func State(n *structs.Node) string {
	switch {
	case n.Status != structs.NodeStatusReady:
		return n.Status
	case n.SilentSince != 0:
		return "silent"
	case n.QuarantineUntil != 0:
		return "in quarantine"
	case n.DrainStrategy != nil, n.Drain:
		return "draining"
	case n.SchedulingEligibility == structs.NodeIneligible:
		return "ineligible"
	}
	return ""
}

// Failed puts a condition that a node doesn't satisfy into words.
func (c Check) Failed(n *structs.Node) *structs.FailedCondition {
	f := &structs.FailedCondition{Condition: c.Reason, Wanted: c.Wanted}
	if c.Actual != nil {
		f.Actual = c.Actual(n)
	}
	return f
}
