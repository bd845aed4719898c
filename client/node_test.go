package client

import (
	"testing"

	"github.com/steppe-run/steppe/internal/testx"
)

func TestMetadataAtRunTime(t *testing.T) {
	w := newWorld(t, nil)
	testx.Eventually(t, patience, "the node is registered", func() bool { return w.servers.registrations() > 0 })
	node := apiNode{w.client}
	if _, err := node.ApplyMetadata(map[string]*string{"rack": nil, "row": p("7")}); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, patience, "the servers know", func() bool {
		w.servers.mu.Lock()
		defer w.servers.mu.Unlock()
		last := w.servers.nodes[len(w.servers.nodes)-1]
		_, rack := last.Meta["rack"]
		return last.Meta["row"] == "7" && !rack
	})
	w.stop()
	w.start()
	meta, err := apiNode{w.client}.Metadata()
	if err != nil || meta.Static["rack"] != "r1" || *meta.Dynamic["row"] != "7" || meta.Meta["row"] != "7" {
		t.Errorf("metadata %+v, %v", meta, err)
	}
}
