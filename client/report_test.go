package client

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/structs"
)

// What is to be told again while it is being told is told once more: what is
// under way may be of before the servers lost sight of the node.
func TestWhatIsToBeToldAgainWhileItIsTold(t *testing.T) {
	w := newWorld(t, nil)
	w.servers.send(link.AllocSet{Full: true, Upserts: []*structs.Allocation{sample("a1", "service")}})
	w.eventually("a1", "running")
	quiet, last := time.Now(), -1
	testx.Eventually(t, patience, "nothing more is told by itself", func() bool {
		w.servers.mu.Lock()
		defer w.servers.mu.Unlock()
		if w.servers.reports != last {
			quiet, last = time.Now(), w.servers.reports
		}
		return time.Since(quiet) > 3*reportQuiet
	})
	var told atomic.Int32
	w.servers.mu.Lock()
	w.servers.slow = func([]*structs.AllocUpdate) {
		if told.Add(1) == 1 {
			w.client.retell("a1")
		}
	}
	w.servers.mu.Unlock()
	w.client.retell("a1")
	testx.Eventually(t, patience, "it is told twice", func() bool { return told.Load() == 2 })
}
