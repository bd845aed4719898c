package jobspec

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/steppe-run/steppe/jobspec/diagnose"
	"github.com/steppe-run/steppe/jobspec/function"
)

// evaluate returns the value of an expression, or tells what is wrong with it.
func evaluate(r *diagnose.Report, expr hclsyntax.Expression, ctx *hcl.EvalContext) (cty.Value, bool) {
	if !r.Lenient[expr] && !knowsNames(r, expr, ctx) {
		return cty.DynamicVal, false
	}
	v, diags := expr.Value(ctx)
	if diags.HasErrors() {
		r.Library(firstOfEach(diags))
		return cty.DynamicVal, false
	}
	if function.DeepSize(v, function.MaxValue) > function.MaxValue {
		r.Fault(expr.Range(), "", "this value is too large")
		return cty.DynamicVal, false
	}
	return v, true // no function makes marks

}

// firstOfEach drops repetitions: a loop tells the same of each of its steps.
func firstOfEach(diags hcl.Diagnostics) hcl.Diagnostics {
	type place struct {
		summary string
		at      hcl.Range
	}
	seen := map[place]bool{}
	var out hcl.Diagnostics
	for _, d := range diags {
		p := place{summary: d.Summary}
		if d.Subject != nil {
			p.at = *d.Subject
		}
		if !seen[p] {
			seen[p] = true
			out = append(out, d)
		}
	}
	return out
}

// knowsNames tells of names that aren't there, better than the library can.
func knowsNames(r *diagnose.Report, expr hclsyntax.Expression, ctx *hcl.EvalContext) bool {
	ok := true
	for _, t := range r.Uses[expr] {
		root := t.RootName()
		value, there := lookUp(ctx, root)
		if !there {
			ok = false
			unknownRoot(r, t, root)
			continue
		}
		name, has := secondStep(t)
		if !has || root != "var" && root != "local" || !value.Type().IsObjectType() {
			continue
		}
		if !value.Type().HasAttribute(name) {
			ok = false
			kind := map[string]string{"var": "variable", "local": "local"}[root]
			var known []string
			for k := range value.Type().AttributeTypes() {
				known = append(known, k)
			}
			r.Fault(t.SourceRange(), diagnose.DidYouMean(name, known), "there is no %s %q", kind, name)
		}
	}
	return ok
}

func unknownRoot(r *diagnose.Report, t hcl.Traversal, root string) {
	text := r.Sources[t.SourceRange().Filename]
	at := t.SourceRange()
	written := text[at.Start.Byte:at.End.Byte]
	switch {
	case isRuntimeName(root):
		r.Fault(at, "Write \"${"+written+"}\".", "%s is known only where the task runs, so it must stand in a text", written)
	case len(t) == 1:
		r.Fault(at, "Write \""+written+"\" if a text is meant, var."+written+" or local."+written+" if a variable is.",
			"%s is not a value", written)
	default:
		r.Fault(at, diagnose.DidYouMean(root, []string{"var", "local"}), "there is nothing named %q", root)
	}
}

func lookUp(ctx *hcl.EvalContext, name string) (cty.Value, bool) {
	for c := ctx; c != nil; c = c.Parent() {
		if v, ok := c.Variables[name]; ok {
			return v, true
		}
	}
	return cty.NilVal, false
}
