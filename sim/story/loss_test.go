package story

import (
	"fmt"
	"testing"
)

// What ran on a node that died runs elsewhere within 25 s with the default
// settings (10 s to live, 10 s of grace, 5 s to place and start), whenever it
// dies; within 45 s if the leader dies with it.
func TestHowLongTheLossOfANodeTakes(t *testing.T) {
	for _, c := range []struct{ name, with, found string }{
		{"a node", "", "20s"},
		{"a node, then the leader", "wait 5s\nleader dies", "35s"}, // five are over when the leader dies
		{"a node and the leader", "leader dies", "40s"},
		{"the leader, then a node", "leader dies\nwait 3s\nnode-2 dies\nexpect node-2 node down within 40s", "40s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range 12 {
				run(t, fmt.Sprintf(`a cluster of 3 servers and 6 nodes of 4000 MHz and 4000 MB
seed %d
job web service count=100 cpu=100 memory=100
expect web 100 running within 1m
wait %dms
node-1 dies
%s
expect node-1 node down within %s
expect web 100 running within 5s
`, seed, 9_000+911*seed, c.with, c.found))
			}
		})
	}
}

func run(t *testing.T, text string) {
	t.Helper()
	s, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Broken() {
		t.Errorf("%s\n%s", text, r)
	}
}
