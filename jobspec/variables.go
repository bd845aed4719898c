package jobspec

import (
	"slices"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	hcljson "github.com/hashicorp/hcl/v2/json"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/steppe-run/steppe/jobspec/diagnose"
)

// variable is an input of a job file.
type variable struct {
	name        string
	typ         cty.Type
	defaults    *typeexpr.Defaults
	value       cty.Value // cty.NilVal until one is given
	validations []*hclsyntax.Block
	at          hcl.Range
}

// inputs are the variables of a job file and what they are worth.
type inputs struct {
	report    *diagnose.Report
	functions map[string]function.Function
	// prepare puts the expressions of another text under the same rules.
	prepare func(src []byte) *late
	vars    map[string]*variable
	locals  map[string]*hclsyntax.Attribute
}

// declare reads the variable, variables and locals blocks of a file.
func (in *inputs) declare(body *hclsyntax.Body) {
	for _, b := range body.Blocks {
		switch b.Type {
		case "variable":
			in.declareVariable(b)
		case "variables":
			in.declareShort(b)
		case "locals":
			for _, a := range inOrder(b.Body.Attributes) {
				if first := in.locals[a.Name]; first != nil {
					in.report.Fault(a.NameRange, "Remove or rename one.", "local %q is already set on line %d", a.Name, first.NameRange.Start.Line)
					continue
				}
				in.locals[a.Name] = a
			}
			in.noBlocks(b)
		}
	}
}

func (in *inputs) noBlocks(b *hclsyntax.Block) {
	for _, inner := range b.Body.Blocks {
		in.report.Fault(inner.TypeRange, "", "%s can't hold a block: write %s = …", b.Type, inner.Type)
	}
}

func (in *inputs) add(v *variable) {
	if first := in.vars[v.name]; first != nil {
		in.report.Fault(v.at, "Remove or rename one.", "variable %q is already declared on line %d", v.name, first.at.Start.Line)
		return
	}
	in.vars[v.name] = v
}

func (in *inputs) declareShort(b *hclsyntax.Block) {
	in.noBlocks(b)
	for _, a := range inOrder(b.Body.Attributes) {
		value, ok := evaluate(in.report, a.Expr, &hcl.EvalContext{Functions: in.functions})
		if !ok {
			value = cty.DynamicVal
		}
		in.add(&variable{name: a.Name, typ: value.Type(), value: value, at: a.NameRange})
	}
}

func (in *inputs) declareVariable(b *hclsyntax.Block) {
	if len(b.Labels) != 1 {
		in.report.Fault(b.TypeRange, `Write variable "name" { … }.`, "a variable needs a name")
		return
	}
	v := &variable{name: b.Labels[0], typ: cty.DynamicPseudoType, at: b.LabelRanges[0]}
	known := []string{"type", "default", "description", "validation", "sensitive", "nullable"}
	for _, a := range inOrder(b.Body.Attributes) {
		switch a.Name {
		case "type":
			typ, defaults, diags := typeexpr.TypeConstraintWithDefaults(a.Expr)
			in.report.Library(diags)
			v.typ, v.defaults = typ, defaults
		case "default", "description", "sensitive", "nullable":
		default:
			in.report.Fault(a.NameRange, diagnose.DidYouMean(a.Name, known), "a variable has no attribute %q", a.Name)
		}
	}
	for _, inner := range b.Body.Blocks {
		if inner.Type != "validation" {
			in.report.Fault(inner.TypeRange, diagnose.DidYouMean(inner.Type, known), "a variable has no block %q", inner.Type)
			continue
		}
		v.validations = append(v.validations, inner)
	}
	if a := b.Body.Attributes["default"]; a != nil {
		value, ok := evaluate(in.report, a.Expr, &hcl.EvalContext{Functions: in.functions})
		if !ok {
			value = cty.DynamicVal
		}
		in.assign(v, value, a.Expr.Range(), "")
	}
	in.add(v)
}

// assign gives a variable a value of its type.
func (in *inputs) assign(v *variable, value cty.Value, at hcl.Range, source string) {
	if v.defaults != nil && !value.IsNull() {
		value = v.defaults.Apply(value)
	}
	converted, err := convert.Convert(value, v.typ)
	if err == nil {
		v.value = converted
		return
	}
	v.value = cty.DynamicVal // wrong, and told
	text := "variable %q must be a %s: %s"
	if at.Filename == "" {
		in.report.Whole(source, "", text, v.name, typeexpr.TypeString(v.typ), err)
		return
	}
	in.report.Fault(at, "", text, v.name, typeexpr.TypeString(v.typ), err)
}

// assignText gives a variable a value that was written on a command line or in
// the environment: texts as they are, what has parts as an HCL expression.
func (in *inputs) assignText(v *variable, text, source string) {
	if v.typ.IsPrimitiveType() || v.typ == cty.DynamicPseudoType {
		in.assign(v, cty.StringVal(text), hcl.Range{}, source)
		return
	}
	in.report.Sources[source] = text
	if _, ok := in.report.CheckLimits(source, []byte(text)); !ok {
		v.value = cty.DynamicVal
		return
	}
	expr, diags := hclsyntax.ParseExpression([]byte(text), source, hcl.InitialPos)
	in.report.Library(diags)
	if diags.HasErrors() {
		v.value = cty.DynamicVal
		return
	}
	in.prepare([]byte(text)).expression(expr)
	value, diags := expr.Value(nil)
	in.report.Library(firstOfEach(diags))
	in.assign(v, value, expr.Range(), source)
}

// give sets the variables from all sources, lowest precedence first.
func (in *inputs) give(input Input) {
	for _, entry := range input.Env {
		name, text, _ := strings.Cut(entry, "=")
		name, ours := strings.CutPrefix(name, "NOMAD_VAR_")
		if v := in.vars[name]; ours && v != nil {
			in.assignText(v, text, "environment variable NOMAD_VAR_"+name)
		}
	}
	for _, f := range input.VarFiles {
		in.giveFile(f, input.Strict)
	}
	names := make([]string, 0, len(input.Vars))
	for name := range input.Vars {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if v := in.vars[name]; v != nil {
			in.assignText(v, input.Vars[name], "-var "+name)
			continue
		}
		in.undeclared(name, hcl.Range{}, "-var "+name, input.Strict)
	}
}

func (in *inputs) giveFile(f File, strict bool) {
	in.report.Sources[f.Name] = string(f.Source)
	if _, ok := in.report.CheckLimits(f.Name, f.Source); !ok {
		return
	}
	var file *hcl.File
	var diags hcl.Diagnostics
	if strings.HasSuffix(f.Name, ".json") {
		file, diags = hcljson.Parse(f.Source, f.Name)
	} else {
		file, diags = hclsyntax.ParseConfig(f.Source, f.Name, hcl.InitialPos)
	}
	in.report.Library(diags)
	if file == nil {
		return
	}
	if body, ok := file.Body.(*hclsyntax.Body); ok {
		in.prepare(f.Source).body(body)
	}
	attrs, diags := file.Body.JustAttributes()
	in.report.Library(diags)
	for _, name := range sortedNames(attrs) {
		a := attrs[name]
		v := in.vars[name]
		if v == nil {
			in.undeclared(name, a.NameRange, f.Name, strict)
			continue
		}
		value, diags := a.Expr.Value(nil)
		in.report.Library(firstOfEach(diags))
		in.assign(v, value, a.Expr.Range(), f.Name)
	}
}

func (in *inputs) undeclared(name string, at hcl.Range, source string, strict bool) {
	d := diagnose.Diagnostic{
		Severity: diagnose.SeverityWarning, File: source,
		Summary:    "the job file declares no variable \"" + name + "\"",
		Suggestion: diagnose.DidYouMean(name, in.names()),
	}
	if strict {
		d.Severity = diagnose.SeverityError
	}
	if at.Filename != "" {
		in.report.Place(at, d)
		return
	}
	in.report.Add(d)
}

func (in *inputs) names() []string {
	out := make([]string, 0, len(in.vars))
	for n := range in.vars {
		out = append(out, n)
	}
	sort.Strings(out)
	return out
}

// context returns what expressions of the job may use.
func (in *inputs) context() *hcl.EvalContext {
	values := map[string]cty.Value{}
	for _, name := range in.names() {
		v := in.vars[name]
		if v.value == cty.NilVal {
			in.report.Fault(v.at, "Give it by -var "+name+"=…, a -var-file or the environment variable NOMAD_VAR_"+name+", or give it a default.",
				"variable %q has no value", name)
			v.value = cty.DynamicVal
		}
		values[name] = v.value
		in.validate(v)
	}
	ctx := &hcl.EvalContext{
		Functions: in.functions,
		Variables: map[string]cty.Value{"var": cty.ObjectVal(values)},
	}
	r := &resolver{inputs: in, ctx: ctx, values: map[string]cty.Value{}}
	for _, a := range inOrder(in.locals) {
		r.local(a.Name)
	}
	ctx.Variables["local"] = cty.ObjectVal(r.values)
	return ctx
}

func (in *inputs) validate(v *variable) {
	ctx := &hcl.EvalContext{
		Functions: in.functions,
		Variables: map[string]cty.Value{"var": cty.ObjectVal(map[string]cty.Value{v.name: v.value})},
	}
	for _, b := range v.validations {
		condition, message := b.Body.Attributes["condition"], b.Body.Attributes["error_message"]
		if condition == nil || message == nil {
			in.report.Fault(b.TypeRange, "", "a validation needs condition and error_message")
			continue
		}
		ok, diags := condition.Expr.Value(ctx)
		in.report.Library(diags)
		if diags.HasErrors() || !ok.IsKnown() {
			continue
		}
		ok, err := convert.Convert(ok, cty.Bool)
		if err != nil || ok.IsNull() {
			in.report.Fault(condition.Expr.Range(), "", "the condition must be true or false")
			continue
		}
		if ok.True() {
			continue
		}
		text, diags := message.Expr.Value(ctx)
		in.report.Library(diags)
		if !diags.HasErrors() && text.Type() == cty.String && text.IsKnown() && !text.IsNull() {
			in.report.Fault(v.at, text.AsString(), "the value of variable %q is not allowed", v.name)
		}
	}
}

// resolver evaluates locals in the order in which they need each other.
type resolver struct {
	inputs *inputs
	ctx    *hcl.EvalContext
	values map[string]cty.Value
	path   []string // being evaluated
}

func (r *resolver) local(name string) {
	a := r.inputs.locals[name]
	if _, done := r.values[name]; done || a == nil {
		return
	}
	if i := slices.Index(r.path, name); i >= 0 {
		chain := append(slices.Clone(r.path[i:]), name)
		r.inputs.report.Fault(a.NameRange, "", "local %q depends on itself: %s", name, strings.Join(chain, " → "))
		r.values[name] = cty.DynamicVal
		return
	}
	r.path = append(r.path, name)
	for _, t := range r.inputs.report.Uses[a.Expr] {
		if step, ok := secondStep(t); ok && t.RootName() == "local" {
			r.local(step)
		}
	}
	r.path = r.path[:len(r.path)-1]
	if _, failed := r.values[name]; failed {
		return
	}
	r.ctx.Variables["local"] = cty.ObjectVal(r.values)
	value, ok := evaluate(r.inputs.report, a.Expr, r.ctx)
	if !ok {
		value = cty.DynamicVal
	}
	r.values[name] = value
}

func secondStep(t hcl.Traversal) (string, bool) {
	if len(t) < 2 {
		return "", false
	}
	a, ok := t[1].(hcl.TraverseAttr)
	return a.Name, ok
}

// inOrder returns attributes in the order of the file.
func inOrder(attrs map[string]*hclsyntax.Attribute) []*hclsyntax.Attribute {
	out := make([]*hclsyntax.Attribute, 0, len(attrs))
	for _, a := range attrs {
		out = append(out, a)
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i].SrcRange, out[j].SrcRange
		return a.Start.Byte < b.Start.Byte || a.Start.Byte == b.Start.Byte && out[i].Name < out[j].Name
	})
	return out
}

func sortedNames(attrs hcl.Attributes) []string {
	out := make([]string, 0, len(attrs))
	for n := range attrs {
		out = append(out, n)
	}
	sort.Strings(out)
	return out
}
