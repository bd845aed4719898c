package feasible

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/steppe-run/steppe/structs"
)

// unit is what an attribute is measured in: how many of the base unit it is.
type unit struct {
	base string
	size float64
}

// units are those that attributes of devices are measured in.
var units = map[string]unit{
	"B": {"byte", 1}, "kB": {"byte", 1e3}, "MB": {"byte", 1e6}, "GB": {"byte", 1e9}, "TB": {"byte", 1e12}, "PB": {"byte", 1e15}, "EB": {"byte", 1e18},
	"KiB": {"byte", 1 << 10}, "MiB": {"byte", 1 << 20}, "GiB": {"byte", 1 << 30}, "TiB": {"byte", 1 << 40}, "PiB": {"byte", 1 << 50}, "EiB": {"byte", 1 << 60},
	"B/s": {"byte/s", 1}, "kB/s": {"byte/s", 1e3}, "MB/s": {"byte/s", 1e6}, "GB/s": {"byte/s", 1e9}, "TB/s": {"byte/s", 1e12}, "PB/s": {"byte/s", 1e15}, "EB/s": {"byte/s", 1e18},
	"KiB/s": {"byte/s", 1 << 10}, "MiB/s": {"byte/s", 1 << 20}, "GiB/s": {"byte/s", 1 << 30}, "TiB/s": {"byte/s", 1 << 40}, "PiB/s": {"byte/s", 1 << 50}, "EiB/s": {"byte/s", 1 << 60},
	"Hz": {"hertz", 1}, "kHz": {"hertz", 1e3}, "MHz": {"hertz", 1e6}, "GHz": {"hertz", 1e9},
	"mW": {"watt", 1e-3}, "W": {"watt", 1}, "kW": {"watt", 1e3}, "MW": {"watt", 1e6}, "GW": {"watt", 1e9},
}

// quantity is an attribute as operators read it: a text, and a number with its
// unit if it is one.
type quantity struct {
	text   string
	number float64
	is     bool // number
	unit   string
}

// literal reads a value such as 4, 11 GiB, 1.5GHz or Pascal.
func literal(s string) quantity {
	q := quantity{text: s}
	trimmed := strings.TrimSpace(s)
	digits := len(trimmed)
	for digits > 0 && !strings.ContainsRune("0123456789.", rune(trimmed[digits-1])) {
		digits--
	}
	name := strings.TrimSpace(trimmed[digits:])
	if _, known := units[name]; name != "" && !known {
		return q
	}
	if n, err := strconv.ParseFloat(strings.TrimSpace(trimmed[:digits]), 64); err == nil {
		q.number, q.is, q.unit = n, true, name
	}
	return q
}

// measured reads an attribute of a device.
func measured(a *structs.Attribute) (quantity, bool) {
	switch {
	case a == nil:
	case a.IntVal != nil:
		return quantity{text: strconv.FormatInt(*a.IntVal, 10), number: float64(*a.IntVal), is: true, unit: a.Unit}, true
	case a.FloatVal != nil:
		return quantity{text: strconv.FormatFloat(*a.FloatVal, 'g', -1, 64), number: *a.FloatVal, is: true, unit: a.Unit}, true
	case a.BoolVal != nil:
		return quantity{text: strconv.FormatBool(*a.BoolVal)}, true
	case a.StringVal != nil:
		return literal(*a.StringVal), true
	}
	return quantity{}, false
}

// order compares two quantities; ok is false if they can't be compared: one is
// a number and the other is none, or their units measure different things.
func (q quantity) order(o quantity) (order int, ok bool) {
	if !q.is && !o.is {
		return strings.Compare(q.text, o.text), true
	}
	if !q.is || !o.is {
		return 0, false
	}
	if q.unit == o.unit {
		return cmp.Compare(q.number, o.number), true
	}
	mine, known := units[q.unit]
	theirs, too := units[o.unit]
	if !known || !too || mine.base != theirs.base {
		return 0, false
	}
	return cmp.Compare(q.number*mine.size, o.number*theirs.size), true
}

// compares returns the judgement of an operand that compares quantities, nil
// if the operand looks at texts.
func compares(operand string) func(order int) bool {
	switch operand {
	case "", "=", "==", "is":
		return func(order int) bool { return order == 0 }
	case "<":
		return func(order int) bool { return order < 0 }
	case "<=":
		return func(order int) bool { return order <= 0 }
	case ">":
		return func(order int) bool { return order > 0 }
	case ">=":
		return func(order int) bool { return order >= 0 }
	}
	return nil
}
