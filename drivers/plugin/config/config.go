// Package config turns a block of configuration, as generic data, into the
// bytes a plugin receives: strings are templates that see the task's
// environment, the plugin's schema says what may be there, and the outcome is
// msgpack.
//
// It must not know gRPC, processes or any particular driver. Begin reading at
// Encode.
package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hcldec"
	hcljson "github.com/hashicorp/hcl/v2/json"
	"github.com/zclconf/go-cty/cty"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/diag"
)

// ErrNoSchema says that a plugin takes no configuration and was given some.
var ErrNoSchema = errors.New("the plugin takes no configuration: remove its config block")

// Encode decodes a block by its schema, with vars as variables, and encodes
// the value for the plugin. All faults of the block are told at once, as
// *diag.Error. Without a schema only an empty block is right; it encodes as
// nothing.
func Encode(spec *drivers.Spec, block map[string]any, vars map[string]string) ([]byte, error) {
	if spec == nil {
		if len(block) > 0 {
			return nil, ErrNoSchema
		}
		return nil, nil
	}
	value, err := Decode(spec, block, vars)
	if err != nil {
		return nil, err
	}
	return Marshal(value)
}

// Decode evaluates a block by its schema.
func Decode(spec *drivers.Spec, block map[string]any, vars map[string]string) (cty.Value, error) {
	decoder, err := toDecoder(spec, "")
	if err != nil {
		return cty.NilVal, fmt.Errorf("read plugin schema: %w", err)
	}
	var faults diag.List
	block = wrapMaps(spec, block)
	resolved, _ := resolve("", block, vars, &faults).(map[string]any)
	if err := faults.Err(); err != nil {
		return cty.NilVal, err
	}
	if resolved == nil {
		resolved = map[string]any{}
	}
	text, err := json.Marshal(resolved)
	if err != nil {
		return cty.NilVal, fmt.Errorf("write configuration as JSON: %w", err)
	}
	file, diags := hcljson.Parse(text, "config")
	if diags.HasErrors() {
		return cty.NilVal, asFaults(diags)
	}
	// No evaluation context: templates were resolved above, so strings are
	// taken as they are.
	value, diags := hcldec.Decode(file.Body, decoder, nil)
	if diags.HasErrors() {
		return cty.NilVal, asFaults(diags)
	}
	return value, nil
}

// wrapMaps makes a list of one out of a map given for an attribute that is a
// list of maps: `labels = { a = "b" }` means the block `labels { a = "b" }`.
func wrapMaps(spec *drivers.Spec, block map[string]any) map[string]any {
	if spec.Kind != drivers.SpecObject {
		return block
	}
	var out map[string]any
	for key, field := range spec.Fields {
		if field != nil && field.Kind == drivers.SpecDefault && field.Nested != nil {
			field = field.Nested
		}
		if field == nil || field.Kind != drivers.SpecAttr || !strings.HasPrefix(strings.ReplaceAll(field.Type, " ", ""), "list(map(") {
			continue
		}
		name := field.Name
		if name == "" {
			name = key
		}
		if m, ok := block[name].(map[string]any); ok {
			if out == nil {
				out = maps.Clone(block)
			}
			out[name] = []any{m}
		}
	}
	if out == nil {
		return block
	}
	return out
}

// asFaults keeps of the parser's diagnostics what a person can use: positions
// inside the generated JSON are not.
func asFaults(diags hcl.Diagnostics) error {
	var faults diag.List
	seen := map[string]bool{}
	for _, d := range diags {
		// The parser speaks of JSON, which the user needn't have written.
		summary := strings.TrimPrefix(d.Summary+": ", "Extraneous JSON object property: ")
		text := strings.TrimSuffix(strings.TrimSpace(summary+d.Detail), ".")
		if d.Severity == hcl.DiagError && !seen[text] {
			seen[text] = true
			faults.Add("", "%s", text)
		}
	}
	return faults.Err()
}

// sortedKeys returns a map's keys in order, so that faults are too.
func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
