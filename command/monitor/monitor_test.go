package monitor

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/term"
)

func TestAnAllocationThatWasThereBeforeTheEvaluationIsToldAsModified(t *testing.T) {
	answers := map[string]string{
		"/v1/evaluation/e1": `{"ID":"e1","JobID":"web","Status":"complete","CreateIndex":20}`,
		"/v1/evaluation/e1/allocations": `[
			{"ID":"old","EvalID":"e1","Name":"web.g[0]","TaskGroup":"g","NodeID":"n1","DesiredStatus":"run","CreateIndex":11},
			{"ID":"new","EvalID":"e1","Name":"web.g[1]","TaskGroup":"g","NodeID":"n1","DesiredStatus":"run","CreateIndex":21}]`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Nomad-Index", "21")
		_, _ = io.WriteString(w, answers[r.URL.Path])
	}))
	defer server.Close()
	client, err := api.New(api.Config{Address: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	streams := term.System()
	streams.Out = &out
	if err := (&Monitor{Client: client, Streams: streams}).Eval(t.Context(), "e1"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`Allocation "old" modified: node "n1", group "g"`,
		`Allocation "new" created: node "n1", group "g"`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is not told:\n%s", want, out.String())
		}
	}
}
