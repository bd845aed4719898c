package jobspec

import "testing"

// TestRulesAreToldBesideOtherFaults: a file with a fault of another kind still
// tells of broken rules, and invents none.
func TestRulesAreToldBesideOtherFaults(t *testing.T) {
	src := "job \"x\" {\n  priority = 500\n  grup \"g\" {}\n  group \"h\" {\n    count = \"many\"\n    task \"t\" {}\n  }\n}\n"
	_, diags := Parse(Input{Source: []byte(src)})
	var lines []int
	for _, d := range diags {
		lines = append(lines, d.Line)
	}
	if want := []int{2, 3, 5, 6}; len(lines) != len(want) || lines[0] != 2 || lines[1] != 3 || lines[2] != 5 || lines[3] != 6 {
		t.Errorf("faults in lines %v, want %v\n%s", lines, want, diags.Error())
	}
}
