package taskenv

import (
	"strings"

	"github.com/steppe-run/steppe/structs"
)

// Replace resolves ${NAME}, ${env["NAME"]}, ${node.…}, ${attr.…} and ${meta.…}
// in s. What it doesn't know stays as it is written.
func (e *Env) Replace(s string) string {
	if !strings.Contains(s, "${") {
		return s
	}
	var out strings.Builder
	for {
		start := strings.Index(s, "${")
		if start < 0 {
			break
		}
		length := strings.IndexByte(s[start:], '}')
		if length < 0 {
			break
		}
		out.WriteString(s[:start])
		whole := s[start : start+length+1]
		if value, ok := e.lookup(whole[2 : len(whole)-1]); ok {
			out.WriteString(value)
		} else {
			out.WriteString(whole)
		}
		s = s[start+length+1:]
	}
	out.WriteString(s)
	return out.String()
}

// ReplaceAll resolves every element of a list into a new one.
func (e *Env) ReplaceAll(list []string) []string {
	if list == nil {
		return nil
	}
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = e.Replace(s)
	}
	return out
}

func (e *Env) lookup(name string) (string, bool) {
	name = strings.TrimSpace(name)
	if inner, ok := strings.CutPrefix(name, `env["`); ok {
		if inner, ok = strings.CutSuffix(inner, `"]`); ok {
			value, found := e.vars[inner]
			return value, found
		}
	}
	if value, ok := e.node[name]; ok {
		return value, true
	}
	value, ok := e.vars[name]
	return value, ok
}

// nodeValues are the keys that ${…} knows of the node.
func nodeValues(n *structs.Node, region string) map[string]string {
	out := map[string]string{"node.region": region}
	if n == nil {
		return out
	}
	out["node.unique.id"] = n.ID
	out["node.unique.name"] = n.Name
	out["node.datacenter"] = n.Datacenter
	out["node.class"] = n.NodeClass
	out["node.pool"] = n.NodePool
	for key, value := range n.Attributes {
		out["attr."+key] = value
	}
	for key, value := range n.Meta {
		out["meta."+key] = value
	}
	return out
}
