package jobspec

import (
	_ "embed" // the examples are files, so that they can be read as such
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/steppe-run/steppe/jobspec/diagnose"
	"github.com/steppe-run/steppe/structs"
)

//go:embed examples/pool.hcl
var poolExample string

//go:embed examples/pool.json
var poolExampleJSON string

// ExampleNodePool returns a node pool file to begin with.
func ExampleNodePool(asJSON bool) string {
	if asJSON {
		return poolExampleJSON
	}
	return poolExample
}

// ParseNodePool reads a node pool file in HCL: one node_pool block. The pool is
// as written, not validated. It is nil if there are errors.
func ParseNodePool(filename string, src []byte) (*structs.NodePool, diagnose.Diagnostics) {
	in := Input{Filename: filename, Source: src}
	r := diagnose.NewReport()
	body := read(in, r)
	if body == nil {
		return nil, r.Finish()
	}
	d, ctx := prepare(in, body, r)
	pool := d.pool(body, ctx)
	if out := r.Finish(); out.HasErrors() {
		return nil, out
	}
	return pool, r.Finish()
}

// ParseNodePoolJSON reads a node pool in the API's JSON.
func ParseNodePoolJSON(filename string, src []byte) (*structs.NodePool, diagnose.Diagnostics) {
	pool := &structs.NodePool{}
	d := diagnose.Diagnostic{Severity: diagnose.SeverityError, File: filename}
	if len(src) > diagnose.MaxInputBytes {
		d.Summary = fmt.Sprintf("the file has %d bytes, more than the limit of %d", len(src), diagnose.MaxInputBytes)
		return nil, diagnose.Diagnostics{d}
	}
	if unknown := unknownPoolKeys(filename, src); len(unknown) > 0 {
		return nil, unknown
	}
	switch err := json.Unmarshal(src, pool); {
	case err != nil:
		d.Summary = strings.TrimPrefix(jsonFault(err), "plain.") // the pool's own decoder wraps it
		locate(&d, src, offsetOf(err))
	case pool.Name == "":
		d.Summary, d.Suggestion = "the file holds no node pool", "Write the pool's fields, Name first; files in HCL need no -json."
	default:
		return pool, nil
	}
	return nil, diagnose.Diagnostics{d}
}

// unknownPoolKeys tells of all keys that a pool in JSON doesn't have. Case
// doesn't count, as it doesn't when they are read.
func unknownPoolKeys(filename string, src []byte) diagnose.Diagnostics {
	var out diagnose.Diagnostics
	check := func(text []byte, t reflect.Type, where string) map[string]json.RawMessage {
		var keys map[string]json.RawMessage
		if json.Unmarshal(text, &keys) != nil {
			return nil // told elsewhere
		}
		known := map[string]string{}
		for i := range t.NumField() {
			known[strings.ToLower(t.Field(i).Name)] = t.Field(i).Name
		}
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			if known[strings.ToLower(key)] != "" {
				continue
			}
			d := diagnose.Diagnostic{Severity: diagnose.SeverityError, File: filename, Summary: fmt.Sprintf("%s has no key %q", where, key)}
			if near := structs.Closest(strings.ToLower(key), slices.Collect(maps.Keys(known))); near != "" {
				d.Suggestion = fmt.Sprintf("Did you mean %q?", known[near])
			}
			out = append(out, d)
		}
		return keys
	}
	keys := check(src, reflect.TypeFor[structs.NodePool](), "a node pool")
	for key, text := range keys {
		if strings.EqualFold(key, "SchedulerConfiguration") {
			check(text, reflect.TypeFor[structs.NodePoolSchedulerConfiguration](), "SchedulerConfiguration")
		}
	}
	return out
}

// pool decodes the node_pool block of a file.
func (d *decoder) pool(body *hclsyntax.Body, ctx *hcl.EvalContext) *structs.NodePool {
	for _, a := range inOrder(body.Attributes) {
		d.report.Fault(a.NameRange, "Put it into the node_pool block.", "there is no attribute %q outside of blocks", a.Name)
	}
	var pool *structs.NodePool
	for _, b := range body.Blocks {
		switch {
		case b.Type != "node_pool":
			d.report.Fault(b.TypeRange, diagnose.DidYouMean(b.Type, []string{"node_pool"}), "there is no block %q in a node pool's file", b.Type)
		case pool != nil:
			d.report.Fault(b.TypeRange, "Put each pool into a file of its own.", "a second node_pool; a file holds one")
		default:
			pool = &structs.NodePool{}
			d.block(source{b.Body, ctx, labelsOf(b), b.TypeRange, "node_pool"}, reflect.ValueOf(pool).Elem(), nil)
		}
	}
	if pool == nil && d.report.Errors == 0 {
		d.report.Whole(body.SrcRange.Filename, `Write node_pool "name" { … }.`, "the file has no node_pool block")
	}
	return pool
}
