package structs

import (
	"strings"
	"testing"
)

// What an interpolation can never be is told, with what may be meant; what
// nodes may have is not.
func TestWarningsOfNamesThatNothingHas(t *testing.T) {
	for text, want := range map[string]string{
		"${attr.kernel.name}":        "",
		"${attr.whatever}":           "",
		"${meta.Rack}":               "",
		"${node.class}":              "",
		"${node.unique.name}":        "",
		"a ${attr.os.name} mixture":  "",
		"${atr.kernel.name}":         "${atr.kernel.name} names nothing that nodes have: did you mean ${attr.kernel.name}?",
		"${attr.}":                   "${attr.} names nothing that nodes have: write a name",
		"${ attr.kernel.name }":      "did you mean ${attr.kernel.name}?",
		"${mata.rack}":               "did you mean ${meta.rack}?",
		"${node.clas}":               "did you mean ${node.class}?",
		"${node.uniqe.id}":           "did you mean ${node.unique.id}?",
		"${node.attr.kernel.name}":   "did you mean ${attr.kernel.name}?",
		"${env.HOME}":                "names nothing that nodes have: write a name that nodes have, such as ${attr.kernel.name}",
		"x ${node.dc}":               "${node.dc} names nothing",
		"$attr.kernel.name":          `"$attr.kernel.name" is a plain text, the same for all nodes: did you mean ${attr.kernel.name}?`,
		"attr.kernel.name":           "did you mean ${attr.kernel.name}?",
		"$atr.kernel.name":           "did you mean ${attr.kernel.name}?",
		"{attr.kernel.name}":         "did you mean ${attr.kernel.name}?",
		"linux":                      `"linux" is a plain text`,
		"${device.model}":            "names nothing that nodes have",
		"${node.class}${nod.class}_": "${nod.class} names nothing",
	} {
		left := edited(t, func(j *Job) { group(j).Constraints = []*Constraint{{LTarget: text, RTarget: "x", Operand: "="}} })
		got := strings.Join(left.Warnings(), "\n")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
		if want != "" && !strings.HasPrefix(got, `group "front" > constraint 1 > attribute: `) {
			t.Errorf("%s: not at its place: %q", text, got)
		}
	}
}

func TestWarningsOfTargetsEverywhere(t *testing.T) {
	j := edited(t, func(j *Job) {
		wrong, weight := "${atr.a}", new(int8(50))
		constraints := []*Constraint{{LTarget: "${attr.a}", RTarget: "$attr.b", Operand: "="}, {LTarget: wrong, Operand: OpDistinctHosts}, {LTarget: wrong, Operand: OpAttributeSet}}
		affinities := []*Affinity{{LTarget: wrong, RTarget: "$5", Operand: "=", Weight: weight}}
		j.Constraints, j.Affinities, j.Spreads = constraints, affinities, []*Spread{{Attribute: wrong, Weight: weight}}
		group(j).Affinities, group(j).Spreads = affinities, j.Spreads
		task(j).Constraints, task(j).Affinities = constraints, affinities
		task(j).Resources = &Resources{Devices: []*RequestedDevice{
			{Name: "gpu", Count: new(uint64(0)), Affinities: affinities},
			{Name: "fpga", Constraints: []*Constraint{{LTarget: "${device.attr.x}", RTarget: "1", Operand: "="}, {LTarget: "${device.modle}", RTarget: "1", Operand: "="}}},
		}}
	})
	want := strings.Join([]string{
		"constraint 1 > value", "constraint 3 > attribute", "affinity 1 > attribute", "spread 1 > attribute",
		`group "front" > affinity 1 > attribute`, `group "front" > spread 1 > attribute`,
		`group "front" > task "app" > constraint 1 > value`, `group "front" > task "app" > constraint 3 > attribute`, `group "front" > task "app" > affinity 1 > attribute`,
		`group "front" > task "app" > resources > device "gpu" > count`, `group "front" > task "app" > resources > device "gpu" > affinity 1 > attribute`,
		`group "front" > task "app" > resources > device "fpga" > constraint 2 > attribute`,
	}, "\n")
	var places []string
	for _, w := range j.WarningFaults() {
		places = append(places, w.Path)
	}
	if got := strings.Join(places, "\n"); got != want {
		t.Errorf("warnings at\n%s\nwant\n%s", got, want)
	}
}
