// Package feasible judges nodes one by one: does a node satisfy a constraint,
// have a driver, a volume, a network. Its judgements depend on the node's
// description alone, never on what runs there.
//
// It must not know capacity, scores or plans. Begin reading at Checks.
package feasible

import (
	"strings"

	"github.com/steppe-run/steppe/structs"
)

// Value resolves the text of a constraint, an affinity or a spread on a node:
// a literal, an interpolation such as ${attr.kernel.name}, or a mixture. ok is
// false if it names something that the node doesn't have.
func Value(target string, n *structs.Node) (value string, ok bool) {
	start := strings.Index(target, "${")
	if start < 0 {
		return target, true
	}
	if start == 0 && strings.IndexByte(target, '}') == len(target)-1 {
		return lookup(target[2:len(target)-1], n)
	}
	var out strings.Builder
	rest := target
	for {
		start = strings.Index(rest, "${")
		if start < 0 {
			out.WriteString(rest)
			return out.String(), true
		}
		end := strings.IndexByte(rest[start:], '}')
		if end < 0 {
			return "", false
		}
		part, found := lookup(rest[start+2:start+end], n)
		if !found {
			return "", false
		}
		out.WriteString(rest[:start])
		out.WriteString(part)
		rest = rest[start+end+1:]
	}
}

func lookup(name string, n *structs.Node) (string, bool) {
	if key, is := strings.CutPrefix(name, "attr."); is {
		v, ok := n.Attributes[key]
		return v, ok
	}
	if key, is := strings.CutPrefix(name, "meta."); is {
		v, ok := n.Meta[key]
		return v, ok
	}
	switch name {
	case "node.unique.id":
		return n.ID, true
	case "node.unique.name":
		return n.Name, true
	case "node.datacenter":
		return n.Datacenter, true
	case "node.class":
		return n.NodeClass, n.NodeClass != ""
	case "node.pool":
		return n.NodePool, true
	}
	return "", false
}

// Unique reports whether a target names what differs from node to node of one
// computed class.
func Unique(target string) bool {
	return strings.Contains(target, "${node.unique.") || strings.Contains(target, "${attr.unique.") ||
		strings.Contains(target, "${meta.unique.")
}
