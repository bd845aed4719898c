package structs

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReadJSONReadsTheSame: the quick way to read a registration gives what
// package json gives, or an error.
func TestReadJSONReadsTheSame(t *testing.T) {
	job, err := os.ReadFile("testdata/minimal-service.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{
		"whole":          `{"Job":` + string(job) + `,"EnforceIndex":true,"JobModifyIndex":7,"EvalPriority":3,"Submission":{"Source":"job","Format":"hcl2"},"Namespace":"team","SecretID":"s"}`,
		"other case":     `{"job":{"id":"web","taskgroups":[{"name":"g"}]},"enforceindex":true}`,
		"twice":          `{"Job":{"ID":"a","Name":"x"},"Job":{"ID":"b"}}`,
		"null":           `{"Job":null}`,
		"none":           `{}`,
		"text for time":  `{"Job":{"ID":"web","Update":{"MinHealthyTime":"10s"}},"EnforceIndex":true}`,
		"wrong type":     `{"Job":{"ID":5}}`,
		"unended":        `{"Job":{"ID":"web"}`,
		"something else": `{"Job":{}} x`,
	} {
		var want, got JobRegisterRequest
		wanted := json.Unmarshal([]byte(body), &want)
		err := got.ReadJSON([]byte(body))
		if wanted != nil && err == nil {
			t.Errorf("%s: read, but %v", name, wanted)
		}
		if err != nil { // then it is read again, into the same
			wanted = json.Unmarshal([]byte(body), &got)
		}
		if diff := cmp.Diff(want, got); wanted == nil && diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
