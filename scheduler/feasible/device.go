package feasible

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"github.com/steppe-run/steppe/structs"
)

// Devices is what one device block of a task asks for: so many healthy
// instances of one kind that has the name and satisfies the constraints.
type Devices struct {
	Task  string
	Name  string
	Count int
	// Weights is the sum of the affinities' weights, signs aside.
	Weights float64

	// identity is a text that only blocks have in common which ask for the same.
	identity string

	holds   []func(*structs.NodeDeviceResource) bool
	named   []func(id string) bool // constraints that pick instances
	prefers []preference
}

type preference struct {
	weight float64
	holds  func(*structs.NodeDeviceResource) bool
}

// DevicesOf returns the device blocks of a group, task by task.
func DevicesOf(group *structs.TaskGroup) []*Devices {
	var out []*Devices
	for _, t := range group.Tasks {
		if t.Resources == nil {
			continue
		}
		for _, d := range t.Resources.Devices {
			if d != nil && structs.ValueOr(d.Count, 1) > 0 {
				out = append(out, newDevices(t.Name, d))
			}
		}
	}
	return out
}

func newDevices(task string, d *structs.RequestedDevice) *Devices {
	out := &Devices{Task: task, Name: d.Name, Count: int(min(structs.ValueOr(d.Count, 1), 1<<30))}
	identity := appendText(nil, d.Name)
	identity = binary.AppendUvarint(identity, uint64(out.Count))
	for _, c := range d.Constraints {
		identity = appendConstraint(identity, c)
		out.holds = append(out.holds, ofDevice(c.LTarget, c.Operand, c.RTarget))
		if strings.Contains(c.LTarget, "${device.ids}") {
			out.named = append(out.named, picks(c.Operand, c.RTarget))
		}
	}
	out.identity = string(identity)
	for _, a := range d.Affinities {
		w := float64(structs.ValueOr(a.Weight, 50))
		out.prefers = append(out.prefers, preference{weight: w, holds: ofDevice(a.LTarget, a.Operand, a.RTarget)})
		out.Weights += max(w, -w)
	}
	return out
}

// Fits reports whether devices of a kind have the name and satisfy the
// constraints.
func (d *Devices) Fits(kind *structs.NodeDeviceResource) bool {
	if kind == nil || !named(d.Name, kind) {
		return false
	}
	return !slices.ContainsFunc(d.holds, func(holds func(*structs.NodeDeviceResource) bool) bool { return !holds(kind) })
}

// Takes reports whether an instance may be given.
func (d *Devices) Takes(instance *structs.NodeDevice) bool {
	if instance == nil || !instance.Healthy {
		return false
	}
	return !slices.ContainsFunc(d.named, func(picks func(string) bool) bool { return !picks(instance.ID) })
}

// Preference is the sum of the weights of the affinities that devices of a
// kind satisfy.
func (d *Devices) Preference(kind *structs.NodeDeviceResource) float64 {
	var sum float64
	for i := range d.prefers {
		if d.prefers[i].holds(kind) {
			sum += d.prefers[i].weight
		}
	}
	return sum
}

// named reports whether a name, type, vendor/type or vendor/type/model, means a
// kind. The model is all that follows, slashes included.
func named(name string, kind *structs.NodeDeviceResource) bool {
	parts := strings.SplitN(name, "/", 3)
	switch len(parts) {
	case 1:
		return kind.Type == parts[0]
	case 2:
		return kind.Vendor == parts[0] && kind.Type == parts[1]
	}
	return kind.Vendor == parts[0] && kind.Type == parts[1] && kind.Name == parts[2]
}

// ofDevice judges kinds of devices by one operator. Numbers compare with their
// units, whatever each is written in; an operand that doesn't exist is refused
// when the job is registered.
func ofDevice(l, operand, r string) func(*structs.NodeDeviceResource) bool {
	if by := compares(operand); by != nil {
		return func(kind *structs.NodeDeviceResource) bool {
			lv, lok := deviceValue(l, kind)
			rv, rok := deviceValue(r, kind)
			order, ok := lv.order(rv)
			return lok && rok && ok && by(order)
		}
	}
	if operand == "!=" || operand == "not" {
		return func(kind *structs.NodeDeviceResource) bool {
			lv, lok := deviceValue(l, kind)
			rv, rok := deviceValue(r, kind)
			order, ok := lv.order(rv)
			return lok != rok || !ok || order != 0
		}
	}
	holds := operator(operand)
	if holds == nil {
		return func(*structs.NodeDeviceResource) bool { return false }
	}
	return func(kind *structs.NodeDeviceResource) bool {
		lv, lok := deviceValue(l, kind)
		rv, rok := deviceValue(r, kind)
		return holds(lv.text, lok, rv.text, rok)
	}
}

// picks says which instances a constraint on ${device.ids} leaves.
func picks(operand, value string) func(id string) bool {
	switch operand {
	case structs.OpSetContains, structs.OpSetContainsAll, structs.OpSetContainsAny, "", "=", "==", "is":
		wanted := items(value)
		return func(id string) bool { return slices.Contains(wanted, id) }
	case structs.OpRegexp:
		matches := matchRegexp()
		return func(id string) bool { return matches(id, value) }
	}
	return func(string) bool { return true }
}

// deviceValue resolves a target of a constraint on devices.
func deviceValue(target string, kind *structs.NodeDeviceResource) (quantity, bool) {
	name, is := strings.CutPrefix(target, "${")
	name, closed := strings.CutSuffix(name, "}")
	if !is || !closed {
		return literal(target), true
	}
	if key, is := strings.CutPrefix(name, "device.attr."); is {
		return measured(kind.Attributes[key])
	}
	switch name {
	case "device.vendor":
		return quantity{text: kind.Vendor}, true
	case "device.type":
		return quantity{text: kind.Type}, true
	case "device.model":
		return quantity{text: kind.Name}, true
	case "device.ids":
		ids := make([]string, 0, len(kind.Instances))
		for _, i := range kind.Instances {
			if i != nil {
				ids = append(ids, i.ID)
			}
		}
		return quantity{text: strings.Join(ids, ",")}, true
	}
	return quantity{}, false
}

// devices asks for each device block that the node has as many healthy
// instances; which are free is another question.
func devices(group *structs.TaskGroup) []Check {
	var out []Check
	for _, d := range DevicesOf(group) {
		out = append(out, Check{
			Name:   "device:" + d.identity,
			Reason: "missing devices (" + d.Name + ")",
			Make:   func() func(*structs.Node) bool { return d.has },
		})
	}
	return out
}

func (d *Devices) has(n *structs.Node) bool {
	return n.NodeResources != nil && slices.ContainsFunc(n.NodeResources.Devices, func(kind *structs.NodeDeviceResource) bool {
		if !d.Fits(kind) {
			return false
		}
		healthy := 0
		for _, i := range kind.Instances {
			if d.Takes(i) {
				healthy++
			}
		}
		return healthy >= d.Count
	})
}

// cores asks for as many reservable cores as the tasks of a group reserve; which
// are free is another question.
func cores(group *structs.TaskGroup) []Check {
	n := Cores(group)
	if n == 0 {
		return nil
	}
	return []Check{{
		Name:   "cores:" + strconv.Itoa(n),
		Reason: "missing reservable cores (" + strconv.Itoa(n) + ")",
		Make: func() func(*structs.Node) bool {
			return func(node *structs.Node) bool {
				return node.NodeResources != nil && len(node.NodeResources.Cpu.ReservableCpuCores) >= n
			}
		},
	}}
}

// Cores is how many cores the tasks of a group reserve.
func Cores(group *structs.TaskGroup) int {
	n := 0
	for _, t := range group.Tasks {
		if t.Resources != nil {
			n += max(0, structs.Value(t.Resources.Cores))
		}
	}
	return n
}
