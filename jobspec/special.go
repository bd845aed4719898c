package jobspec

import (
	"reflect"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/steppe-run/steppe/structs"
)

// operator decodes the short forms of constraints and affinities, in which the
// operator is the attribute: regexp = "…", distinct_hosts = true.
func (d *decoder) operator(a *hclsyntax.Attribute, ctx *hcl.EvalContext, into reflect.Value) bool {
	var operand, value, target *string
	switch c := into.Addr().Interface().(type) {
	case *structs.Constraint:
		operand, value, target = &c.Operand, &c.RTarget, &c.LTarget
	case *structs.Affinity:
		operand, value, target = &c.Operand, &c.RTarget, &c.LTarget
	default:
		return false
	}
	switch a.Name {
	case structs.OpRegexp, structs.OpVersion, structs.OpSemver,
		structs.OpSetContains, structs.OpSetContainsAll, structs.OpSetContainsAny:
		*operand = a.Name
		d.text(a, ctx, value)
	case structs.OpDistinctProperty:
		*operand = a.Name
		d.text(a, ctx, target)
	case structs.OpDistinctHosts:
		*operand = a.Name
		v, ok := evaluate(d.report, a.Expr, ctx)
		on := false
		if ok && d.assign(reflect.ValueOf(&on).Elem(), v, a.Expr.Range(), a.Name) && !on {
			*operand = switchedOff
		}
	default:
		return false
	}
	return true
}

// switchedOff marks a constraint that says distinct_hosts = false: none.
const switchedOff = "\x00off"

// dropped reports whether a block says that it isn't there.
func dropped(block any) bool {
	c, ok := block.(*structs.Constraint)
	return ok && c.Operand == switchedOff
}

func (d *decoder) text(a *hclsyntax.Attribute, ctx *hcl.EvalContext, into *string) {
	if v, ok := evaluate(d.report, a.Expr, ctx); ok {
		d.assign(reflect.ValueOf(into).Elem(), v, a.Expr.Range(), a.Name)
	}
}

// settlePorts moves ports with a fixed number to where the API has them.
func settlePorts(into reflect.Value) {
	n, ok := into.Addr().Interface().(*structs.NetworkResource)
	if !ok {
		return
	}
	var dynamic []structs.Port
	for _, p := range n.DynamicPorts {
		if p.Value != 0 {
			n.ReservedPorts = append(n.ReservedPorts, p)
			continue
		}
		dynamic = append(dynamic, p)
	}
	n.DynamicPorts = dynamic
}

// shorthand collects what a job block may say for all its tasks: vault, secret
// and whole tasks without a group.
type shorthand struct {
	decoder *decoder
	vault   *structs.Vault
	secrets []*structs.Secret
	tasks   []*structs.Task
}

func (s *shorthand) block(src source) bool {
	switch src.word {
	case "vault":
		if s.vault != nil {
			s.decoder.report.Fault(src.at, "Merge the two.", "vault is already there")
		}
		s.vault = &structs.Vault{}
		s.decoder.block(src, reflect.ValueOf(s.vault).Elem(), nil)
	case "secret":
		secret := &structs.Secret{}
		s.decoder.block(src, reflect.ValueOf(secret).Elem(), nil)
		s.secrets = append(s.secrets, secret)
	case "task":
		task := &structs.Task{}
		s.decoder.block(src, reflect.ValueOf(task).Elem(), nil)
		s.tasks = append(s.tasks, task)
	default:
		return false
	}
	return true
}

func (s *shorthand) finish(job *structs.Job) {
	for _, t := range s.tasks {
		job.TaskGroups = append(job.TaskGroups, &structs.TaskGroup{Name: new(t.Name), Tasks: []*structs.Task{t}})
	}
	for _, g := range job.TaskGroups {
		for _, t := range g.Tasks {
			if t.Vault == nil && s.vault != nil {
				t.Vault = structs.CloneValue(s.vault)
			}
			t.Secrets = append(t.Secrets, structs.CloneValue(s.secrets)...)
		}
	}
}
