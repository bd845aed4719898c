package httpapi

import (
	_ "embed"
	"net/http"
	"strings"
	"testing"

	"github.com/steppe-run/steppe/httpapi/door"
)

//go:embed testdata/routes.tsv
var contractRoutes string

// contractRow is one row of the list of public routes.
type contractRow struct {
	methods         []string
	path            string
	blocking, paged bool
	unchecked       bool
	enterprise      bool
}

func contract(t *testing.T) []contractRow {
	t.Helper()
	var rows []contractRow
	for i, line := range strings.Split(strings.TrimSpace(contractRoutes), "\n") {
		if i == 0 {
			continue
		}
		cells := strings.Split(line, "\t")
		if len(cells) != 6 {
			t.Fatalf("line %d has %d cells", i+1, len(cells))
		}
		rows = append(rows, contractRow{
			methods: strings.Split(cells[0], "|"), path: cells[1], blocking: cells[2] == "yes", paged: cells[3] == "yes",
			unchecked: cells[4] == "unchecked", enterprise: cells[5] == "ent",
		})
	}
	return rows
}

// example fills in a path's parameters.
func example(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		switch {
		case strings.HasSuffix(p, "alloc_id"), strings.HasSuffix(p, "node_id"), strings.HasSuffix(p, "eval_id"), strings.HasSuffix(p, "deployment_id"):
			parts[i] = "6f1c9a52-1111-4222-8333-94a5b6c7d8e9"
		case p == ":profile":
			parts[i] = "heap"
		case strings.HasPrefix(p, ":"):
			parts[i] = "some-thing"
		}
	}
	return strings.Join(parts, "/")
}

func TestEveryContractRouteHasItsRow(t *testing.T) {
	table, err := door.NewTable(Routes())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range contract(t) {
		for _, method := range want.methods {
			found, _ := table.Match(example(want.path))
			if found == nil {
				t.Errorf("%s %s: no row", method, want.path)
				continue
			}
			var row *door.Route
			for _, r := range found.Rows {
				if r.Accepts(method) {
					row = r
					break
				}
			}
			if row == nil {
				t.Errorf("%s %s: the path is known, the method isn't", method, want.path)
				continue
			}
			if plain(row.Path) != want.path {
				t.Errorf("%s %s: found %s", method, want.path, row.Path)
			}
			if row.Blocking != want.blocking || row.Paged != want.paged || row.Unchecked != want.unchecked {
				t.Errorf("%s %s: blocking %v, paged %v, unchecked %v", method, want.path, row.Blocking, row.Paged, row.Unchecked)
			}
		}
	}
}

func plain(path string) string { return strings.ReplaceAll(path, "+", "") }

func TestRowsThatAreNotBuiltSaySo(t *testing.T) {
	_, url := serve(t, door.Config{Server: newFakeServer()})
	for _, row := range Routes() {
		if row.Built() {
			continue
		}
		for method := range strings.SplitSeq(row.Methods, "|") {
			got := ask(t, method, url+example(plain(row.Path)), "")
			if got.status != http.StatusNotImplemented || len(got.body) < 10 {
				t.Errorf("%s %s: %d %q", method, row.Path, got.status, got.body)
			}
			if got.header.Get("Content-Type") != "text/plain; charset=utf-8" {
				t.Errorf("%s %s: content type %q", method, row.Path, got.header.Get("Content-Type"))
			}
		}
	}
}

func TestUnknownMethodsAndPaths(t *testing.T) {
	_, url := serve(t, door.Config{Server: newFakeServer()})
	for _, c := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"POST", "/v1/status/leader", 405, "Invalid method"},
		{"HEAD", "/v1/nodes", 405, ""},
		{"PATCH", "/v1/jobs", 405, "Invalid method"},
		{"POST", "/v1/system/gc", 405, "Invalid method"},
		{"GET", "/v1/operator/raft/peer", 404, "Not Found"},
		{"POST", "/v1/job/a/b/allocations", 405, "Invalid method"},
		{"GET", "/v1/nothing", 404, ""},
		{"GET", "/favicon.ico", 404, ""},
		{"GET", "/v1/allocation/6f1c9a52-1111-4222-8333-94a5b6c7d8e9/more", 404, "resource not found"},
	} {
		got := ask(t, c.method, url+c.path, "")
		if got.status != c.status || got.body != c.body {
			t.Errorf("%s %s: %d %q, want %d %q", c.method, c.path, got.status, got.body, c.status, c.body)
		}
	}
}

func TestWrongMethodsNameTheRightOnes(t *testing.T) {
	_, url := serve(t, door.Config{Server: newFakeServer()})
	got := ask(t, "PATCH", url+"/v1/jobs", "")
	if allow := strings.Join(got.header.Values("Allow"), ", "); allow != "GET, PUT, POST" {
		t.Errorf("Allow: %q", allow)
	}
}

func TestTopicsWithTwoColonsAreRefused(t *testing.T) {
	_, url := serve(t, door.Config{Server: newFakeServer()})
	for _, topic := range []string{"a:b:c", ":", "Job:"} {
		if got := ask(t, "GET", url+"/v1/event/stream?topic="+topic, ""); got.status != 400 {
			t.Errorf("%q: %d %q", topic, got.status, got.body)
		}
	}
}

func TestPathsBindTheLongestLiteral(t *testing.T) {
	table, err := door.NewTable(Routes())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, row string
		params    map[string]string
	}{
		{"/v1/job/web", "/v1/job/:job_id+", map[string]string{"job_id": "web"}},
		{"/v1/job/team/web", "/v1/job/:job_id+", map[string]string{"job_id": "team/web"}},
		{"/v1/job/team%2Fweb/plan", "/v1/job/:job_id+/plan", map[string]string{"job_id": "team/web"}},
		{"/v1/job/team/web/plan", "/v1/job/:job_id+/plan", map[string]string{"job_id": "team/web"}},
		{"/v1/job/team%2Fplan", "/v1/job/:job_id+", map[string]string{"job_id": "team/plan"}},
		{"/v1/job/w/periodic-1/allocations", "/v1/job/:job_id+/allocations", map[string]string{"job_id": "w/periodic-1"}},
		{"/v1/job/w/dispatch/payload", "/v1/job/:job_id+/dispatch/payload", map[string]string{"job_id": "w"}},
		{"/v1/job/w/x/versions/gold/tag", "/v1/job/:job_id+/versions/:tag_name/tag", map[string]string{"job_id": "w/x", "tag_name": "gold"}},
		{"/v1/node/pools", "/v1/node/pools", map[string]string{}},
		{"/v1/node/pool/gpu/nodes", "/v1/node/pool/:name/nodes", map[string]string{"name": "gpu"}},
		{"/v1/deployment/allocations/d", "/v1/deployment/allocations/:deployment_id", map[string]string{"deployment_id": "d"}},
		{"/v1/var/a/b/c", "/v1/var/:path+", map[string]string{"path": "a/b/c"}},
		{"/", "/", map[string]string{}},
	} {
		found, params := table.Match(c.path)
		if found == nil {
			t.Errorf("%s: no row", c.path)
			continue
		}
		if found.Rows[0].Path != c.row {
			t.Errorf("%s: row %s, want %s", c.path, found.Rows[0].Path, c.row)
		}
		for name, want := range c.params {
			if params[name] != want {
				t.Errorf("%s: %s = %q, want %q", c.path, name, params[name], want)
			}
		}
	}
}

func FuzzMatch(f *testing.F) {
	for _, row := range Routes() {
		f.Add(example(plain(row.Path)))
	}
	f.Add("//")
	f.Add("/v1/job/%zz/plan")
	table, err := door.NewTable(Routes())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path string) {
		found, params := table.Match(path)
		if found == nil {
			return
		}
		for _, s := range found.Segments {
			if s.Param != "" && params[s.Param] == "" {
				t.Fatalf("%q matched %s without %s", path, found.Rows[0].Path, s.Param)
			}
		}
	})
}
