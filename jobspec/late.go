package jobspec

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/steppe-run/steppe/jobspec/diagnose"
	"github.com/steppe-run/steppe/jobspec/function"
	"github.com/steppe-run/steppe/structs"
)

// late makes text of what can't be known yet: every ${…} of a template that
// names anything but variables, locals and what loops name stays as written,
// for the scheduler and the node to fill in. It also puts expressions that can
// multiply under the budget.
type late struct {
	report *diagnose.Report
	budget *function.Budget
	src    []byte
	known  map[string]bool
	scopes []map[string]struct{} // names of the loops around
}

// body prepares all expressions of a body.
func (l *late) body(body *hclsyntax.Body) {
	for _, a := range body.Attributes {
		l.expression(a.Expr)
	}
	for _, b := range body.Blocks {
		if b.Type != "dynamic" || len(b.Labels) != 1 {
			l.body(b.Body)
			continue
		}
		name := b.Labels[0]
		if a := b.Body.Attributes["iterator"]; a != nil {
			if keyword := hcl.ExprAsKeyword(a.Expr); keyword != "" {
				name = keyword
			}
		}
		l.scopes = append(l.scopes, map[string]struct{}{name: {}})
		l.body(b.Body)
		l.scopes = l.scopes[:len(l.scopes)-1]
	}
}

func (l *late) expression(expr hclsyntax.Expression) {
	_ = hclsyntax.Walk(expr, l) // l finds no errors
	// The library doesn't see through what counts, so note the names before.
	l.report.Uses[expr] = hclsyntax.Variables(expr)
	_ = hclsyntax.VisitAll(expr, func(n hclsyntax.Node) hcl.Diagnostics {
		if call, ok := n.(*hclsyntax.FunctionCallExpr); ok && takesExpressions(call.Name) {
			l.report.Lenient[expr] = true
		}
		return nil
	})
	_ = hclsyntax.VisitAll(expr, l.count)
}

// count puts under the budget what can multiply.
func (l *late) count(node hclsyntax.Node) hcl.Diagnostics {
	if c, ok := node.(*function.Counted); ok {
		node = c.Expression
	}
	switch n := node.(type) {
	case *hclsyntax.TemplateExpr:
		for i, part := range n.Parts {
			if _, literal := part.(*hclsyntax.LiteralValueExpr); !literal {
				n.Parts[i] = &function.Counted{Expression: part, Budget: l.budget}
			}
		}
	case *hclsyntax.ForExpr:
		n.ValExpr = &function.Counted{Expression: n.ValExpr, Budget: l.budget, Step: true}
	}
	return nil
}

// Enter implements hclsyntax.Walker.
func (l *late) Enter(node hclsyntax.Node) hcl.Diagnostics {
	switch n := node.(type) {
	case hclsyntax.ChildScope:
		l.scopes = append(l.scopes, n.LocalNames)
	case *hclsyntax.TemplateExpr:
		for i, part := range n.Parts {
			n.Parts[i] = l.part(part)
		}
	case *hclsyntax.TemplateWrapExpr:
		if l.isLate(n.Wrapped) {
			n.Wrapped = l.literal(n.Wrapped)
		}
	}
	return nil
}

// Exit implements hclsyntax.Walker.
func (l *late) Exit(node hclsyntax.Node) hcl.Diagnostics {
	if _, ok := node.(hclsyntax.ChildScope); ok {
		l.scopes = l.scopes[:len(l.scopes)-1]
	}
	return nil
}

func (l *late) part(part hclsyntax.Expression) hclsyntax.Expression {
	if l.isLate(part) {
		return l.literal(part)
	}
	return part
}

func (l *late) isLate(expr hclsyntax.Expression) bool {
	for _, t := range hclsyntax.Variables(expr) {
		if root := t.RootName(); !l.isKnown(root) {
			l.warnOfTypo(root, t)
			return true
		}
	}
	return false
}

// takesExpressions reports whether a function sees its arguments unevaluated:
// they may name what isn't there, or types.
func takesExpressions(function string) bool {
	return function == "try" || function == "can" || function == "convert"
}

func (l *late) isKnown(root string) bool {
	switch root {
	case "string", "number", "bool", "any": // types, in convert
		return true
	}
	if l.known[root] {
		return true
	}
	for _, s := range l.scopes {
		if _, ok := s[root]; ok {
			return true
		}
	}
	return false
}

// warnOfTypo tells of a name that is nearly one of ours: it would be kept as
// text, which nobody wants of ${vars.count}.
func (l *late) warnOfTypo(root string, t hcl.Traversal) {
	if len(t) < 2 || isRuntimeName(root) {
		return
	}
	for _, known := range []string{"var", "local"} {
		if structs.EditDistance(root, known, 2) < 2 || root == "variable" && known == "var" {
			d := diagnose.Diagnostic{Severity: diagnose.SeverityWarning, Suggestion: diagnose.DidYouMean(root, []string{known})}
			if root == "variable" {
				d.Suggestion = `Did you mean "var"?`
			}
			d.Summary = "${" + root + "…} is kept as text: there is no variable of this name here"
			l.report.Place(t.SourceRange(), d)
		}
	}
}

// isRuntimeName reports whether a name is known where tasks are placed or run.
func isRuntimeName(root string) bool {
	switch root {
	case "attr", "node", "meta", "env", "secret", "device", "JOB", "TASKGROUP", "TASK", "BASE":
		return true
	}
	return strings.HasPrefix(root, "NOMAD_")
}

// literal is the text of a part of a template, as it was written.
func (l *late) literal(expr hclsyntax.Expression) hclsyntax.Expression {
	r := expr.Range()
	before := strings.TrimRight(string(l.src[max(0, r.Start.Byte-200):r.Start.Byte]), " \t\r\n~")
	if !strings.HasSuffix(before, "${") {
		l.report.Fault(r, "Use only variables, locals and functions in %{ … }.",
			"a template directive can't depend on what is known only where the task runs")
	}
	return &hclsyntax.LiteralValueExpr{
		Val:      cty.StringVal("${" + string(l.src[r.Start.Byte:r.End.Byte]) + "}"),
		SrcRange: r,
	}
}
