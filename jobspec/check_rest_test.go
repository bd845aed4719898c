package jobspec

import (
	"fmt"
	"strings"
	"testing"
)

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

// TestBlocksWithoutFaultsAreChecked: a rule about a whole block is told beside
// faults of other blocks; of one with a fault inside nothing is guessed.
func TestBlocksWithoutFaultsAreChecked(t *testing.T) {
	src := `job "x" {
  colour = "red"
  group "empty" {}
  group "odd" {
    taks "t" {}
  }
  group "full" {
    spread {
      attribute = "${node.datacenter}"
      target "a" { percent = 70 }
      target "b" { percent = 60 }
    }
    task "t" {
      driver = "mock"
    }
  }
}
`
	_, diags := Parse(Input{Source: []byte(src)})
	text := diags.Error()
	for _, want := range []string{`no attribute "colour"`, `no block "taks"`, "add up to 130", `at least one task`} {
		if strings.Count(text, want) != 1 {
			t.Errorf("%q is not told once:\n%s", want, text)
		}
	}
}

// TestRangesAreTheRules: where a field can't hold what was written, the fault
// names the same numbers as the rule does of what the field can hold.
func TestRangesAreTheRules(t *testing.T) {
	for _, test := range []struct{ text, rule string }{
		{"affinity {\n attribute = \"${node.class}\"\n value = \"a\"\n weight = %s\n}", "from -100 to 100"},
		{"spread {\n attribute = \"${node.class}\"\n weight = %s\n}", "from 1 to 100"},
		{"spread {\n attribute = \"${node.class}\"\n target \"a\" {\n percent = %s\n}\n}", "from 0 to 100"},
	} {
		for _, n := range []string{"101", "300", "99999999999999999999", "-300"} {
			src := "job \"x\" {\n group \"g\" {\n" + fmt.Sprintf(test.text, n) + "\n task \"t\" {\n driver = \"mock\"\n}\n}\n}\n"
			in := Input{Source: []byte(src)}
			job, diags := Parse(in)
			if job != nil {
				diags = Check(in, job)
			}
			if text := diags.Error(); !strings.Contains(text, "must be "+test.rule) {
				t.Errorf("%s in\n%s\nis told as\n%s", n, test.text, text)
			}
		}
	}
	for n, want := range map[string]string{"-1": "count must be 1 or more", "0.5": "count must be a whole number"} {
		src := "job \"x\" {\n group \"g\" {\n task \"t\" {\n driver = \"mock\"\n resources {\n device \"gpu\" {\n count = " + n + "\n}\n}\n}\n}\n}\n"
		if _, diags := Parse(Input{Source: []byte(src)}); !strings.Contains(diags.Error(), want) {
			t.Errorf("count = %s is told as\n%s", n, diags.Error())
		}
	}
}
