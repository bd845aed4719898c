package agent

import (
	"encoding/json"
	"fmt"
	"maps"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/steppe-run/steppe/drivers/plugin"
)

// pluginBlocks turns the plugin blocks into plain data, which each plugin's
// own schema then decodes. A later block of a name replaces an earlier one.
func (c *Config) pluginBlocks() (map[string]plugin.Block, error) {
	out := map[string]plugin.Block{}
	for _, block := range c.Plugins {
		config := block.Values
		for _, body := range block.Config {
			values, err := plainBody(body.Body)
			if err != nil {
				return nil, fmt.Errorf("read the config of plugin %q: %w", block.Name, err)
			}
			config = values
		}
		out[block.Name] = plugin.Block{Args: block.Args, Config: config}
	}
	c.showChroot(out)
	return out, nil
}

// showChroot tells the drivers that show parts of the node which ones.
func (c *Config) showChroot(blocks map[string]plugin.Block) {
	if len(c.Client.ChrootEnv) == 0 {
		return
	}
	paths := map[string]any{}
	for from, to := range c.Client.ChrootEnv {
		paths[from] = to
	}
	block := blocks["exec"]
	config := maps.Clone(block.Config)
	if config == nil {
		config = map[string]any{}
	}
	if _, told := config["chroot_env"]; !told {
		config["chroot_env"] = paths
	}
	block.Config = config
	blocks["exec"] = block
}

// plainBody turns a block's body into maps, lists and plain values: nested
// blocks become lists of maps.
func plainBody(body hcl.Body) (map[string]any, error) {
	out := map[string]any{}
	native, ok := body.(*hclsyntax.Body)
	if !ok { // JSON, or what an outer schema left over: attributes only
		attrs, diags := body.JustAttributes()
		if diags.HasErrors() {
			return nil, diags
		}
		return out, plainAttributes(attrs, out)
	}
	attrs := hcl.Attributes{}
	for name, attr := range native.Attributes {
		attrs[name] = attr.AsHCLAttribute()
	}
	if err := plainAttributes(attrs, out); err != nil {
		return nil, err
	}
	for _, block := range native.Blocks {
		values, err := plainBody(block.Body)
		if err != nil {
			return nil, err
		}
		for i := len(block.Labels) - 1; i >= 0; i-- {
			values = map[string]any{block.Labels[i]: []any{values}}
		}
		list, _ := out[block.Type].([]any) // absent at first
		out[block.Type] = append(list, values)
	}
	return out, nil
}

func plainAttributes(attrs hcl.Attributes, into map[string]any) error {
	for name, attr := range attrs {
		value, diags := attr.Expr.Value(nil)
		if diags.HasErrors() {
			return diags
		}
		plain, err := plainValue(value)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		into[name] = plain
	}
	return nil
}

func plainValue(value cty.Value) (any, error) {
	data, err := ctyjson.Marshal(value, value.Type())
	if err != nil {
		return nil, err
	}
	var out any
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, err
	}
	return out, nil
}
