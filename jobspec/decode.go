package jobspec

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/steppe-run/steppe/jobspec/diagnose"
	"github.com/steppe-run/steppe/jobspec/function"
	"github.com/steppe-run/steppe/structs"
)

// decoder fills a job from the blocks of a file, by the tables of schema.go.
type decoder struct {
	report *diagnose.Report
	budget *function.Budget
}

// file decodes the job block of a file.
func (d *decoder) file(body *hclsyntax.Body, ctx *hcl.EvalContext) *structs.Job {
	known := []string{"job", "variable", "variables", "locals"}
	for _, a := range inOrder(body.Attributes) {
		hint := diagnose.DidYouMean(a.Name, known)
		if tableOf(reflect.TypeFor[structs.Job]()).byWord[a.Name] != nil {
			hint = "Put it into the job block."
		}
		d.report.Fault(a.NameRange, hint, "there is no attribute %q outside of blocks", a.Name)
	}
	var found *hclsyntax.Block
	for _, b := range body.Blocks {
		switch b.Type {
		case "variable", "variables", "locals":
		case "job":
			if found != nil {
				d.report.Fault(b.TypeRange, "Put each job into a file of its own.", "a second job; a file holds one")
				continue
			}
			found = b
		default:
			hint := diagnose.DidYouMean(b.Type, known)
			if tableOf(reflect.TypeFor[structs.Job]()).byWord[b.Type] != nil {
				hint = "Put it into the job block."
			}
			d.report.Fault(b.TypeRange, hint, "there is no block %q outside of a job", b.Type)
		}
	}
	if found == nil {
		if d.report.Errors == 0 {
			d.report.Whole(body.SrcRange.Filename, `Write job "name" { … }.`, "the file has no job block")
		}
		return nil
	}
	return d.job(found, ctx)
}

func (d *decoder) job(b *hclsyntax.Block, ctx *hcl.EvalContext) *structs.Job {
	job := &structs.Job{}
	short := &shorthand{decoder: d}
	d.block(source{b.Body, ctx, labelsOf(b), b.TypeRange, "job"}, reflect.ValueOf(job).Elem(), short.block)
	if job.Name == nil {
		job.Name = job.ID
	}
	short.finish(job)
	return job
}

// source is a block to decode, with what its expressions may use. A dynamic
// block gives one source for each of its elements.
type source struct {
	body   *hclsyntax.Body
	ctx    *hcl.EvalContext
	labels []label
	at     hcl.Range // the block's type
	word   string
}

type label struct {
	text string
	at   hcl.Range
}

func labelsOf(b *hclsyntax.Block) []label {
	out := make([]label, 0, len(b.Labels))
	for i, l := range b.Labels {
		out = append(out, label{l, b.LabelRanges[i]})
	}
	return out
}

// block decodes a block into a struct. extra, if not nil, takes blocks that
// the struct's table doesn't know.
func (d *decoder) block(src source, into reflect.Value, extra func(source) bool) {
	t := tableOf(into.Type())
	d.label(src, t, into)
	written := map[string]hcl.Range{}
	for _, a := range inOrder(src.body.Attributes) {
		e := t.byWord[a.Name]
		if e == nil {
			if !d.operator(a, src.ctx, into) {
				d.unknown(a.NameRange, a.Name, "attribute", src.word, t)
			}
			continue
		}
		written[e.word] = a.NameRange
		d.attribute(a, e, src.ctx, into.Field(e.field))
	}
	for _, inner := range d.expand(src) {
		e := t.byWord[inner.word]
		switch {
		case e == nil && extra != nil && extra(inner):
		case e == nil:
			d.unknown(inner.at, inner.word, "block", src.word, t)
		default:
			if first, twice := written[e.word]; twice && e.shape != shapeBlocks && e.shape != shapeBlockMap {
				d.report.Fault(inner.at, "Merge the two.", "%s is already there, on line %d", e.word, first.Start.Line)
				continue
			}
			written[e.word] = inner.at
			d.innerBlock(inner, e, into.Field(e.field))
		}
	}
	for _, e := range t.entries {
		if _, ok := written[e.word]; e.required && !ok {
			d.report.Fault(src.at, "Add "+e.word+" = ….", "%s needs %s", src.word, e.word)
		}
	}
	settlePorts(into)
}

// label gives a struct the block's label.
func (d *decoder) label(src source, t *table, into reflect.Value) {
	switch {
	case into.Type() == reflect.TypeFor[structs.ScalingPolicy]():
		if len(src.labels) == 1 { // what of a task is scaled
			into.FieldByName("Type").SetString("vertical_" + src.labels[0].text)
		}
	case t.label < 0:
		if len(src.labels) > 0 {
			d.report.Fault(src.labels[0].at, "Remove the label.", "%s takes no label", src.word)
		}
	case len(src.labels) == 0:
		d.report.Fault(src.at, "Write "+src.word+` "name" { … }.`, "%s needs a label, its name", src.word)
	case len(src.labels) > 1:
		d.report.Fault(src.labels[1].at, "Remove it.", "%s takes one label", src.word)
	case src.labels[0].text == "":
		d.report.Fault(src.labels[0].at, "", "the label of %s must not be empty", src.word)
	default:
		f := into.Field(t.label)
		if f.Kind() == reflect.Pointer {
			f.Set(reflect.ValueOf(&src.labels[0].text))
			return
		}
		f.SetString(src.labels[0].text)
	}
}

func (d *decoder) attribute(a *hclsyntax.Attribute, e *entry, ctx *hcl.EvalContext, into reflect.Value) {
	switch e.shape {
	case shapeBlock, shapeBlocks, shapeBlockMap:
		d.report.Fault(a.NameRange, "Write "+e.word+" { … } without the equals sign.", "%s is a block, not an attribute", e.word)
		return
	}
	v, ok := evaluate(d.report, a.Expr, ctx)
	if !ok {
		return
	}
	if e.rule != "" && tooFar(into.Type(), v) {
		d.report.Fault(a.Expr.Range(), "", "%s must be %s, is %s", e.word, e.rule, strings.TrimPrefix(describe(v), "the number "))
		return
	}
	d.assign(into, v, a.Expr.Range(), e.word)
}

func (d *decoder) innerBlock(src source, e *entry, into reflect.Value) {
	switch e.shape {
	case shapeValue:
		d.report.Fault(src.at, "Write "+e.word+" = ….", "%s is an attribute, not a block", e.word)
	case shapeMap:
		d.mapBlock(src, into)
	case shapeFreeForm:
		d.noLabels(src)
		if v := d.freeForm(src); into.IsNil() {
			into.Set(reflect.ValueOf(v))
		}
	case shapeBlock:
		v := reflect.New(e.elem)
		d.block(src, v.Elem(), nil)
		if into.Kind() == reflect.Pointer {
			into.Set(v)
		} else {
			into.Set(v.Elem())
		}
	case shapeBlocks:
		d.oneOfMany(src, e, into)
	case shapeBlockMap:
		v := reflect.New(e.elem)
		d.block(src, v.Elem(), nil)
		if len(src.labels) != 1 {
			return // told
		}
		if into.IsNil() {
			into.Set(reflect.MakeMap(into.Type()))
		}
		key := reflect.ValueOf(src.labels[0].text)
		if into.MapIndex(key).IsValid() {
			d.report.Fault(src.labels[0].at, "Rename one.", "there is already a %s %q", src.word, src.labels[0].text)
		}
		into.SetMapIndex(key, v)
	}
}

func (d *decoder) oneOfMany(src source, e *entry, into reflect.Value) {
	v := reflect.New(e.elem)
	d.block(src, v.Elem(), nil)
	if dropped(v.Interface()) {
		return
	}
	if t := tableOf(e.elem); t.label >= 0 && len(src.labels) == 1 {
		for i := range into.Len() {
			if text(reflect.Indirect(into.Index(i)).Field(t.label)) == src.labels[0].text {
				d.report.Fault(src.labels[0].at, "Rename one.", "there is already a %s %q", src.word, src.labels[0].text)
			}
		}
	}
	if into.Type().Elem().Kind() != reflect.Pointer {
		v = v.Elem()
	}
	into.Set(reflect.Append(into, v))
}

func text(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	return v.String()
}

// mapBlock decodes env { KEY = "value" }.
func (d *decoder) mapBlock(src source, into reflect.Value) {
	d.noLabels(src)
	for _, b := range src.body.Blocks {
		d.report.Fault(b.TypeRange, "Write "+b.Type+" = ….", "%s holds values only, no blocks", src.word)
	}
	if into.IsNil() {
		into.Set(reflect.MakeMap(into.Type()))
	}
	for _, a := range inOrder(src.body.Attributes) {
		v, ok := evaluate(d.report, a.Expr, src.ctx)
		if !ok || v.IsNull() {
			continue
		}
		elem := reflect.New(into.Type().Elem()).Elem()
		if d.assign(elem, v, a.Expr.Range(), a.Name) {
			into.SetMapIndex(reflect.ValueOf(a.Name), elem)
		}
	}
}

func (d *decoder) noLabels(src source) {
	if len(src.labels) > 0 {
		d.report.Fault(src.labels[0].at, "Remove the label.", "%s takes no label", src.word)
	}
}

// unknown tells of a word that a block doesn't know, and where it belongs.
func (d *decoder) unknown(at hcl.Range, word, kind, where string, t *table) {
	hint := diagnose.DidYouMean(word, t.words())
	if hint == "" {
		hint = belongsElsewhere(word, kind)
	}
	article := "a"
	if strings.ContainsAny(where[:1], "aeiou") {
		article = "an"
	}
	d.report.Fault(at, hint, "%s %s block has no %s %q", article, where, kind, word)
}

// belongsElsewhere says which blocks do know a word, or one that is nearly it.
func belongsElsewhere(word, kind string) string {
	homes := homes()[kind]
	if in := homes[word]; len(in) > 0 {
		if len(in) > 3 {
			return ""
		}
		return word + " belongs in " + strings.Join(in, " or ") + "."
	}
	near := structs.Closest(word, slices.Collect(maps.Keys(homes)))
	if near == "" || len(homes[near]) > 3 {
		return ""
	}
	return fmt.Sprintf("Did you mean %q? It belongs in %s.", near, strings.Join(homes[near], " or "))
}
