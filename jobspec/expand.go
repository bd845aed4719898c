package jobspec

import (
	"slices"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/steppe-run/steppe/jobspec/diagnose"
	"github.com/steppe-run/steppe/jobspec/function"
)

// expand lists the blocks within a block, dynamic ones once for each element.
func (d *decoder) expand(src source) []source {
	var out []source
	for _, b := range src.body.Blocks {
		if d.budget.Blocks--; d.budget.Blocks < 0 {
			if d.budget.Blocks == -1 {
				d.report.Fault(b.TypeRange, "", "the file has more than %d blocks", function.MaxBlocks)
			}
			return out
		}
		if b.Type == "dynamic" {
			out = append(out, d.dynamic(b, src.ctx)...)
			continue
		}
		out = append(out, source{b.Body, src.ctx, labelsOf(b), b.TypeRange, b.Type})
	}
	return out
}

// dynamic expands dynamic "word" { for_each, iterator, labels, content }.
func (d *decoder) dynamic(b *hclsyntax.Block, ctx *hcl.EvalContext) []source {
	if len(b.Labels) != 1 {
		d.report.Fault(b.TypeRange, `Write dynamic "port" { … }.`, "dynamic needs one label: the block to make")
		return nil
	}
	known := []string{"for_each", "iterator", "labels"}
	for _, a := range inOrder(b.Body.Attributes) {
		if !slices.Contains(known, a.Name) {
			d.report.Fault(a.NameRange, diagnose.DidYouMean(a.Name, known), "a dynamic block has no attribute %q", a.Name)
		}
	}
	var content *hclsyntax.Block
	for _, inner := range b.Body.Blocks {
		if inner.Type != "content" || content != nil {
			d.report.Fault(inner.TypeRange, "", "a dynamic block has one block content, and no other")
			continue
		}
		content = inner
	}
	each := b.Body.Attributes["for_each"]
	if content == nil || each == nil {
		d.report.Fault(b.TypeRange, "", "a dynamic block needs for_each and a block content")
		return nil
	}
	list, ok := evaluate(d.report, each.Expr, ctx)
	if !ok {
		return nil
	}
	if list.IsNull() || !list.IsKnown() || !list.CanIterateElements() {
		if list.IsKnown() {
			d.report.Fault(each.Expr.Range(), "", "for_each must be a list, a set or a map")
		}
		return nil
	}
	iterator := b.Labels[0]
	if a := b.Body.Attributes["iterator"]; a != nil {
		if iterator = hcl.ExprAsKeyword(a.Expr); iterator == "" {
			d.report.Fault(a.Expr.Range(), "", "iterator must be a name")
			return nil
		}
	}
	return d.elements(b, content, list, iterator, ctx)
}

func (d *decoder) elements(b, content *hclsyntax.Block, list cty.Value, iterator string, ctx *hcl.EvalContext) []source {
	var out []source
	for it := list.ElementIterator(); it.Next(); {
		if d.budget.Blocks--; d.budget.Blocks < 0 {
			d.report.Fault(b.TypeRange, "", "the file has more than %d blocks", function.MaxBlocks)
			return out
		}
		key, value := it.Element()
		if list.Type().IsSetType() {
			key = value
		}
		child := ctx.NewChild()
		child.Variables = map[string]cty.Value{
			iterator: cty.ObjectVal(map[string]cty.Value{"key": key, "value": value}),
		}
		src := source{content.Body, child, nil, b.LabelRanges[0], b.Labels[0]}
		if a := b.Body.Attributes["labels"]; a != nil {
			src.labels = d.dynamicLabels(a.Expr, child)
		}
		out = append(out, src)
	}
	return out
}

func (d *decoder) dynamicLabels(expr hclsyntax.Expression, ctx *hcl.EvalContext) []label {
	v, ok := evaluate(d.report, expr, ctx)
	if !ok {
		return nil
	}
	texts, err := convert.Convert(v, cty.List(cty.String))
	if err != nil || texts.IsNull() || !texts.IsWhollyKnown() {
		d.report.Fault(expr.Range(), "", "labels must be a list of texts")
		return nil
	}
	var out []label
	for _, t := range texts.AsValueSlice() {
		if t.IsNull() {
			d.report.Fault(expr.Range(), "", "a label must not be null")
			continue
		}
		out = append(out, label{t.AsString(), expr.Range()})
	}
	return out
}

// homes says which blocks know a word, of attributes and of blocks.
var homes = sync.OnceValue(func() map[string]map[string][]string {
	out := map[string]map[string][]string{"attribute": {}, "block": {}}
	for _, t := range schemas() {
		for _, e := range t.entries {
			if e.elem == nil {
				continue
			}
			for _, inner := range tableOf(e.elem).entries {
				known := out["attribute"]
				if inner.shape != shapeValue {
					known = out["block"]
				}
				if !slices.Contains(known[inner.word], e.word) {
					known[inner.word] = append(known[inner.word], e.word)
					slices.Sort(known[inner.word])
				}
			}
		}
	}
	return out
})
