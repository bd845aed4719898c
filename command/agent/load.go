package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// maxConfigBytes bounds one configuration file.
const maxConfigBytes = 4 << 20

// LoadPath decodes a configuration file, or every .hcl and .json file of a
// folder in the order of their names, over c.
func (c *Config) LoadPath(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if !info.IsDir() {
		return c.loadFile(path)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("read configuration folder: %w", err)
	}
	var names []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); !e.IsDir() && (ext == ".hcl" || ext == ".json") && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	sort.Strings(names)
	if len(names) == 0 {
		return fmt.Errorf("read configuration folder: %s holds no .hcl or .json file", path)
	}
	var faults []error
	for _, name := range names {
		faults = append(faults, c.loadFile(filepath.Join(path, name)))
	}
	return errors.Join(faults...)
}

func (c *Config) loadFile(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if info.Size() > maxConfigBytes {
		return fmt.Errorf("read configuration: %s has %d bytes, at most %d are read", path, info.Size(), maxConfigBytes)
	}
	src, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	return c.LoadSource(path, src)
}

// LoadSource decodes one configuration text over c. A name that ends in .json
// is read as JSON, everything else as HCL.
func (c *Config) LoadSource(name string, src []byte) error {
	parser := hclparse.NewParser()
	parse := parser.ParseHCL
	if strings.HasSuffix(name, ".json") {
		parse = parser.ParseJSON
	}
	file, diags := parse(src, name)
	if diags.HasErrors() {
		return diagError(parser, diags)
	}
	diags = gohcl.DecodeBody(file.Body, nil, c)
	if diags.HasErrors() {
		return diagError(parser, explainUnbuilt(diags))
	}
	if diags = c.absorbBlocks(); diags.HasErrors() {
		return diagError(parser, diags)
	}
	return nil
}

// absorbBlocks folds map-like blocks, meta { … }, into their maps.
func (c *Config) absorbBlocks() hcl.Diagnostics {
	meta, diags := foldAttributes(c.Client.Meta, c.Client.MetaBlocks)
	options, more := foldAttributes(c.Client.Options, c.Client.OptionBlocks)
	chroot, last := foldAttributes(c.Client.ChrootEnv, c.Client.ChrootEnvBlocks)
	c.Client.ChrootEnv, c.Client.ChrootEnvBlocks = chroot, nil
	c.Client.Meta, c.Client.MetaBlocks = meta, nil
	c.Client.Options, c.Client.OptionBlocks = options, nil
	return append(append(diags, more...), last...)
}

func foldAttributes(into map[string]string, blocks []*attributes) (map[string]string, hcl.Diagnostics) {
	var diags hcl.Diagnostics
	for _, block := range blocks {
		for name, attr := range block.Body {
			value, more := attr.Expr.Value(nil)
			diags = append(diags, more...)
			text, err := convert.Convert(value, cty.String)
			if more.HasErrors() {
				continue
			}
			if err != nil || text.IsNull() {
				diags = append(diags, &hcl.Diagnostic{
					Severity: hcl.DiagError, Summary: "Wrong type", Subject: &attr.Range,
					Detail: fmt.Sprintf("The value of %q must be text.", name),
				})
				continue
			}
			if into == nil {
				into = map[string]string{}
			}
			into[name] = text.AsString()
		}
	}
	return into, diags
}

// diagError renders all diagnostics, each with file, line, column and the
// offending line, as one error.
func diagError(parser *hclparse.Parser, diags hcl.Diagnostics) error {
	var b strings.Builder
	w := hcl.NewDiagnosticTextWriter(&b, parser.Files(), 100, false)
	if err := w.WriteDiagnostics(diags); err != nil {
		return fmt.Errorf("configuration: %w", diags)
	}
	return errors.New(strings.TrimSpace(b.String()))
}
