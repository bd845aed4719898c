package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/structs"
)

func TestOnlyOwnHostsAreAnswered(t *testing.T) {
	_, url := serve(t, door.Config{Server: newFakeServer(), Hosts: []string{"Steppe.Example.com:4646", "10.1.2.3"}})
	for host, want := range map[string]int{
		"localhost":               200,
		"localhost:4646":          200,
		"127.0.0.1":               200,
		"127.0.0.9:1":             200,
		"[::1]:4646":              200,
		"steppe.example.com":      200,
		"STEPPE.example.com.:123": 200,
		"10.1.2.3:4646":           200,
		"console.localhost:4646":  200,
		"10.9.9.9":                421,
		"evil.example.com":        421,
		"localhost.evil.com":      421,
		"127.0.0.1.nip.io":        421,
	} {
		if got := ask(t, "GET", url+"/v1/status/leader", "", "Host: "+host); got.status != want {
			t.Errorf("Host %s: %d %s, want %d", host, got.status, got.body, want)
		}
	}
}

func TestForeignPagesCanNotDriveTheAPI(t *testing.T) {
	fake := newFakeServer()
	fake.register = func(*structs.JobRegisterRequest) (*structs.JobRegisterResponse, error) {
		return &structs.JobRegisterResponse{EvalID: "e", JobModifyIndex: 9}, nil
	}
	_, url := serve(t, door.Config{Server: fake})
	host := strings.TrimPrefix(url, "http://")
	job := `{"Job":{"ID":"web"}}`
	alloc := "/v1/client/allocation/6f1c9a52-1111-4222-8333-94a5b6c7d8e9"
	for _, c := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
	}{
		{"plain program", "POST", "/v1/jobs", job, nil, 200},
		{"curl -d", "POST", "/v1/jobs", job, []string{"Content-Type: application/x-www-form-urlencoded"}, 200},
		{"own page", "POST", "/v1/jobs", job, []string{"Origin: http://" + host, "Sec-Fetch-Site: same-origin", "Content-Type: application/json"}, 200},
		{"foreign page", "POST", "/v1/jobs", job, []string{"Origin: http://evil.example.com", "Content-Type: application/json"}, 403},
		{"opaque page", "POST", "/v1/jobs", job, []string{"Origin: null", "Content-Type: application/json"}, 403},
		{"another port", "PUT", "/v1/jobs", job, []string{"Origin: http://127.0.0.1:1"}, 403},
		{"fetch metadata", "DELETE", "/v1/job/web", "", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"same site", "PUT", "/v1/system/gc", "", []string{"Sec-Fetch-Site: same-site"}, 403},
		{"own form", "POST", "/v1/jobs", job, []string{"Origin: http://" + host, "Content-Type: text/plain"}, 415},
		{"form with cookie", "POST", "/v1/jobs", job, []string{"Cookie: a=b", "Content-Type: multipart/form-data; boundary=x"}, 415},
		{"get that changes", "GET", "/v1/client/gc", "", []string{"Origin: http://evil.example.com"}, 403},
		{"websocket", "GET", alloc + "/exec", "", []string{"Origin: http://evil.example.com", "Connection: Upgrade", "Upgrade: websocket"}, 403},
		{"unchecked method", "GET", alloc + "/restart", "", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"foreign read", "GET", "/v1/status/leader", "", []string{"Origin: http://evil.example.com"}, 200},
	} {
		got := ask(t, c.method, url+c.path, c.body, c.headers...)
		if got.status != c.status {
			t.Errorf("%s: %d %q, want %d", c.name, got.status, got.body, c.status)
		}
		if got.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: the page may read the answer", c.name)
		}
	}
}

func TestForeignPagesCanNotRead(t *testing.T) {
	alloc := "6f1c9a52-1111-4222-8333-94a5b6c7d8e9"
	paths := []string{"/v1/jobs", "/v1/client/stats", "/v1/client/allocation/" + alloc + "/stats"}
	for _, verb := range []string{"ls", "stat", "cat", "readat", "stream", "logs"} {
		paths = append(paths, "/v1/client/fs/"+verb+"/"+alloc)
	}
	_, url := serve(t, door.Config{Server: newFakeServer()})
	_, open := serve(t, door.Config{Server: newFakeServer(), ResponseHeaders: map[string]string{"Access-Control-Allow-Origin": "https://console.example.com"}})
	for _, path := range paths {
		for _, method := range []string{"GET", "OPTIONS"} {
			got := ask(t, method, url+path, "", "Origin: http://other", "Access-Control-Request-Method: GET")
			if got.header.Get("Access-Control-Allow-Origin") != "" || method == "OPTIONS" && got.status == 204 {
				t.Errorf("%s %s: %d %v", method, path, got.status, got.header)
			}
		}
		got := ask(t, "OPTIONS", open+path, "", "Origin: https://console.example.com", "Access-Control-Request-Method: GET")
		if got.status != 204 || got.header.Get("Access-Control-Allow-Origin") != "https://console.example.com" {
			t.Errorf("configured %s: %d %v", path, got.status, got.header)
		}
	}
	if got := ask(t, "OPTIONS", open+"/v1/jobs", "", "Origin: http://other", "Access-Control-Request-Method: POST"); got.status == 204 {
		t.Errorf("preflight of a write: %d %v", got.status, got.header)
	}
	if got := ask(t, "POST", open+"/v1/jobs", "{}", "Origin: https://console.example.com"); got.status != 403 {
		t.Errorf("write of a foreign page: %d %q", got.status, got.body)
	}
}

func TestBodiesAreBounded(t *testing.T) {
	fake := newFakeServer()
	fake.register = func(*structs.JobRegisterRequest) (*structs.JobRegisterResponse, error) {
		return &structs.JobRegisterResponse{}, nil
	}
	_, url := serve(t, door.Config{Server: fake, MaxJobBody: 1000})
	big := `{"Job":{"ID":"web","Meta":{"x":"` + strings.Repeat("y", 2000) + `"}}}`
	if got := ask(t, "POST", url+"/v1/jobs", big); got.status != 413 || !strings.Contains(got.body, "1000 bytes") {
		t.Errorf("announced: %d %q", got.status, got.body)
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", url+"/v1/jobs", io.MultiReader(strings.NewReader(big)))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 413 {
		t.Errorf("chunked: %d", resp.StatusCode)
	}
	if got := ask(t, "POST", url+"/v1/search", `{"Prefix":"`+strings.Repeat("y", 300<<10)+`"}`); got.status != 413 {
		t.Errorf("small bodies: %d %q", got.status, got.body)
	}
}

func TestBadInputIsNamed(t *testing.T) {
	_, url := serve(t, door.Config{Server: newFakeServer()})
	id := "6f1c9a52-1111-4222-8333-94a5b6c7d8e9"
	for _, c := range []struct {
		method, path, body string
		status             int
		text               string
	}{
		{"POST", "/v1/jobs", "", 400, "Request body is empty"},
		{"POST", "/v1/jobs", "{", 400, "in the middle of a value"},
		{"POST", "/v1/jobs", `{"Job":{"ID":5}}`, 400, `field "Job.ID" can't take a JSON number`},
		{"POST", "/v1/jobs", `{"Job":}`, 400, "at byte"},
		{"POST", "/v1/jobs", "{}", 400, "Job must be specified"},
		{"POST", "/v1/jobs", `{"Job":{}}`, 400, "Job ID"},
		{"POST", "/v1/job/a", `{"Job":{"ID":"b"}}`, 400, "Job ID does not match name"},
		{"PUT", "/v1/job/a/plan", `{"Job":{"ID":"b"}}`, 400, "Job ID does not match"},
		{"PUT", "/v1/job/a/evaluate", `{"JobID":"b"}`, 400, "JobID not same as job name"},
		{"PUT", "/v1/job/a/revert", `{}`, 400, "JobID must be specified"},
		{"PUT", "/v1/job/a/scale", `{"Target":{"Group":"g","Job":"b"}}`, 400, "did not match"},
		{"DELETE", "/v1/job/a?purge=perhaps", "", 500, "purge"},
		{"DELETE", "/v1/job/a?eval_priority=101", "", 400, "eval_priority"},
		{"POST", "/v1/validate/job", "{}", 400, "Job must be specified"},
		{"POST", "/v1/jobs/parse", `{"JobHCL":"  "}`, 400, "Job spec is empty"},
		{"GET", "/v1/jobs?index=x", "", 400, "Invalid index"},
		{"GET", "/v1/jobs?wait=long", "", 400, "Invalid wait time"},
		{"GET", "/v1/jobs?stale=perhaps", "", 400, "stale"},
		{"GET", "/v1/jobs?per_page=many", "", 400, "Expect a number for `per_page` query string parameter"},
		{"GET", "/v1/node/abc", "", 500, `node lookup failed: index error: UUID must be 36 characters, "abc" has 3: reading one takes its full ID`},
		{"GET", "/v1/allocation/abc", "", 500, "alloc lookup failed: index error: UUID must be 36 characters"},
		{"GET", "/v1/evaluation/abc", "", 500, "UUID must be 36 characters"},
		{"GET", "/v1/deployment/abc", "", 500, "UUID must be 36 characters"},
		{"GET", "/v1/node/" + strings.Repeat("z", 36), "", 500, "node lookup failed: index error: Invalid UUID: \"zzz"},
		{"PUT", "/v1/node/" + id + "/drain", `{"NodeID":"other"}`, 400, "does not match"},
		{"PUT", "/v1/node/" + id + "/eligibility", `{"Eligibility":"perhaps"}`, 400, "perhaps"},
		{"PUT", "/v1/deployment/pause/" + id, "{}", 400, "DeploymentID must be specified"},
		{"PUT", "/v1/deployment/promote/" + id, `{"DeploymentID":"x"}`, 400, "Deployment ID does not match"},
		{"GET", "/v1/client/stats", "", 400, "No local Node and node_id not provided"},
		{"GET", "/v1/service/web?choose=x", "", 400, "choose"},
		{"PUT", "/v1/agent/join", "", 400, "missing address to join"},
		{"PUT", "/v1/agent/force-leave", "", 400, "missing node to force leave"},
		{"DELETE", "/v1/operator/raft/peer", "", 400, "id"},
		{"PUT", "/v1/operator/raft/transfer-leadership", "", 400, "either"},
		{"GET", "/v1/event/stream?topic=:x", "", 400, "Invalid topic"},
		{"POST", "/v1/jobs/statuses", `{"Jobs":[]}`, 400, "no jobs in request"},
	} {
		got := ask(t, c.method, url+c.path, c.body)
		if got.status != c.status || !strings.Contains(got.body, c.text) {
			t.Errorf("%s %s %s: %d %q, want %d %q", c.method, c.path, c.body, got.status, got.body, c.status, c.text)
		}
	}
}

func TestErrorsKeepTheirKindAndText(t *testing.T) {
	fake := newFakeServer()
	_, url := serve(t, door.Config{Server: fake})
	for _, c := range []struct {
		err    error
		status int
		text   string
	}{
		{&structs.EnforceIndexError{Want: 3, Have: 5}, 500, "Enforcing job modify index 3: job exists with conflicting job modify index: 5"},
		{fmt.Errorf("register: %w", structs.ErrJobNotFound), 404, "register: job not found"},
		{structs.ErrRegistrationDisabled, 403, structs.ErrRegistrationDisabled.Text},
		{structs.ErrNoLeader, 500, "No cluster leader"},
		{structs.ErrNotLeader, 500, "No cluster leader"},
		{structs.NotBuilt("wishes"), 501, "wishes are not built yet in this version of Steppe"},
		{&structs.ValidationError{Faults: []structs.Fault{{Text: "Missing job datacenters"}}}, 500, "1 error occurred:\n\t* Missing job datacenters\n"},
		{errors.New("disk gone"), 500, "disk gone"},
	} {
		fake.register = func(*structs.JobRegisterRequest) (*structs.JobRegisterResponse, error) { return nil, c.err }
		got := ask(t, "PUT", url+"/v1/jobs", `{"Job":{"ID":"web"}}`)
		if got.status != c.status || got.body != c.text || got.header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%v: %d %q %s", c.err, got.status, got.body, got.header.Get("Content-Type"))
		}
	}
}

func TestPanicsAreAnsweredAndLogged(t *testing.T) {
	fake := newFakeServer()
	fake.register = func(*structs.JobRegisterRequest) (*structs.JobRegisterResponse, error) { panic("boom") }
	var logged bytes.Buffer
	_, url := serve(t, door.Config{Server: fake, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	got := ask(t, "PUT", url+"/v1/jobs", `{"Job":{"ID":"web"}}`)
	id := got.header.Get("X-Request-Id")
	if got.status != 500 || id == "" || !strings.Contains(got.body, id) || strings.Contains(got.body, "boom") {
		t.Errorf("%d %q", got.status, got.body)
	}
	if !strings.Contains(logged.String(), "boom") || !strings.Contains(logged.String(), id) || !strings.Contains(logged.String(), "door_test.go") {
		t.Errorf("logged %s", logged.String())
	}
}

func TestRegisterFillsInWhatTheQuerySays(t *testing.T) {
	fake := newFakeServer()
	var seen *structs.JobRegisterRequest
	fake.register = func(req *structs.JobRegisterRequest) (*structs.JobRegisterResponse, error) {
		seen = req
		resp := &structs.JobRegisterResponse{EvalID: "e", JobModifyIndex: 9}
		resp.LastIndex = 9
		return resp, nil
	}
	_, url := serve(t, door.Config{Server: fake})
	got := ask(t, "PUT", url+"/v1/jobs?namespace=team", `{"Job":{"ID":"web"},"EnforceIndex":true,"JobModifyIndex":4}`, "X-Nomad-Token: secret")
	if got.status != 200 || got.header.Get("X-Nomad-Index") != "9" || !strings.Contains(got.body, `"EvalID":"e"`) {
		t.Errorf("%d %q %v", got.status, got.body, got.header)
	}
	if seen.Job.GetNamespace() != "team" || seen.Namespace != "team" || seen.SecretID != "secret" || !seen.EnforceIndex || seen.Job.GetRegion() != "global" {
		t.Errorf("seen %+v", seen)
	}
	ask(t, "PUT", url+"/v1/jobs", `{"Job":{"ID":"web","Namespace":"own"}}`, "Authorization: Bearer other")
	if seen.Namespace != "own" || seen.SecretID != "other" {
		t.Errorf("seen %+v", seen)
	}
}

func TestAnswersArePrettyAndCompressedWhenAsked(t *testing.T) {
	_, url := serve(t, door.Config{Server: newFakeServer()})
	if got := ask(t, "GET", url+"/v1/regions", ""); got.body != `["global"]` || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("plain: %q %v", got.body, got.header)
	}
	if got := ask(t, "GET", url+"/v1/regions?pretty", ""); got.body != "[\n    \"global\"\n]\n" {
		t.Errorf("pretty: %q", got.body)
	}
	if got := ask(t, "GET", url+"/v1/regions?pretty=0", ""); got.body != `["global"]` {
		t.Errorf("pretty off: %q", got.body)
	}
	if got := ask(t, "GET", url+"/?a=b", ""); got.status != 307 || got.header.Get("Location") != "/ui/?a=b" {
		t.Errorf("root: %d %v", got.status, got.header)
	}
	if got := ask(t, "GET", url+"/v1/operator/license", ""); got.status != 204 || got.body != "" {
		t.Errorf("license: %d %q", got.status, got.body)
	}
}
