package node

import (
	"testing"

	"github.com/steppe-run/steppe/structs"
)

func TestOfANodeThatIsDownNobodyKnowsThatAllHasStopped(t *testing.T) {
	for status, want := range map[string]string{
		structs.NodeStatusReady: `All allocations on node "n1" have stopped`,
		structs.NodeStatusDown:  `Node "n1" is down: what may still run there is stopped when it is back`,
	} {
		if got := emptied(&structs.Node{ID: "n1", Status: status}); got != want {
			t.Errorf("%s: %s", status, got)
		}
	}
}
