package jobspec

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/api"

	"github.com/steppe-run/steppe/structs"
)

func TestParseJSON(t *testing.T) {
	bare, err := json.Marshal(api.NewServiceJob("web", "web", "global", 50))
	if err != nil {
		t.Fatal(err)
	}
	for _, src := range []string{string(bare), `{"Job": ` + string(bare) + `}`, `{"EnforceIndex": true, "job": ` + string(bare) + `}`} {
		job, diags := ParseJSON("", []byte(src))
		if len(diags) > 0 || structs.Value(job.ID) != "web" || structs.Value(job.Priority) != 50 {
			t.Errorf("%s: %v\n%s", src, job, diags.Error())
		}
	}
}

func TestParseJSONThatIsWrong(t *testing.T) {
	for src, want := range map[string]string{
		"{\n  \"ID\": \"x\",,\n}": "Error: invalid character ',' looking for beginning of object key string\n" +
			"  on j.json line 2, column 13:\n   2 |   \"ID\": \"x\",,\n     |             ^",
		`{"Job": {"Priority": "high"}}`: "Error: Priority must not be a string\n" +
			"  on j.json line 1, column 27:\n   1 | {\"Job\": {\"Priority\": \"high\"}}\n     |                           ^",
		`[]`:         "a job must not be a array",
		``:           "unexpected end of JSON input",
		`{}`:         "the file holds no job",
		`job "x" {}`: "invalid character 'j'",
	} {
		job, diags := ParseJSON("j.json", []byte(src))
		if job != nil || !strings.Contains(diags.Error(), want) {
			t.Errorf("%s:\n%s\nwant\n%s", src, diags.Error(), want)
		}
	}
}

func TestRender(t *testing.T) {
	_, diags := Parse(Input{Filename: "a.hcl", Source: []byte("job \"x\" {\n\tregoin = \"a\"\n}\n")})
	want := "\x1b[1;31mError:\x1b[0m \x1b[1ma job block has no attribute \"regoin\"\x1b[0m\n" +
		"  on a.hcl line 2, column 2, in job \"x\":\n" +
		"\x1b[34m   2 | \x1b[0m regoin = \"a\"\n\x1b[34m     | \x1b[0m ^^^^^^\n" +
		"  Did you mean \"region\"?\n"
	var b strings.Builder
	if err := diags.Render(&b, true); err != nil || b.String() != want {
		t.Errorf("%q\nwant\n%q", b.String(), want)
	}
	if got, want := diags[0].Error(), `a.hcl:2,2: a job block has no attribute "regoin". Did you mean "region"?`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	data, err := json.Marshal(diags)
	if err != nil || !strings.Contains(string(data), `"Line":2`) {
		t.Errorf("as data: %s %v", data, err)
	}
}
