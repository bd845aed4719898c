package function

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Limits of what a file's expressions may make.
const (
	MaxBlocks    = 10_000  // after dynamic blocks were expanded
	MaxLoopSteps = 100_000 // of all for expressions together
	// MaxValueBytes bounds what all expressions together may produce.
	MaxValueBytes = 64 << 20

	// MaxValue bounds one value, all its parts together.
	MaxValue = 16 << 20
	// partSize is what each part of a value counts besides its text.
	partSize = 64
)

// Budget is what is left of the limits while a file is evaluated.
type Budget struct {
	Blocks int
	steps  int
	bytes  int
}

// NewBudget returns the budget of one file.
func NewBudget() *Budget {
	return &Budget{Blocks: MaxBlocks, steps: MaxLoopSteps, bytes: MaxValueBytes}
}

// Counted is an expression whose evaluations are counted: the body of a for
// expression, or what a template or a call is made of.
type Counted struct {
	hclsyntax.Expression
	Budget *Budget
	Step   bool // of a loop
}

// Value evaluates the expression unless the budget is used up.
func (c *Counted) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	if c.Step {
		c.Budget.steps--
	}
	if c.Budget.steps < 0 {
		return cty.DynamicVal, c.refuse("too many loop steps", "The for expressions of the file take too many steps.")
	}
	if c.Budget.bytes < 0 {
		return cty.DynamicVal, c.refuse("too large a value", "The expressions of the file produce too much data.")
	}
	v, diags := c.Expression.Value(ctx)
	c.Budget.bytes -= valueSize(v)
	return v, diags
}

func (c *Counted) refuse(summary, detail string) hcl.Diagnostics {
	return hcl.Diagnostics{{
		Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: c.Range().Ptr(),
	}}
}

// valueSize is about how many bytes it costs to use a value once.
func valueSize(v cty.Value) int {
	v, _ = v.Unmark()
	if v.IsNull() || !v.IsKnown() {
		return partSize
	}
	switch t := v.Type(); {
	case t == cty.String:
		return partSize + len(v.AsString())
	case t.IsListType(), t.IsSetType(), t.IsMapType(), t.IsTupleType(), t.IsObjectType():
		return partSize * (1 + v.LengthInt())
	}
	return partSize
}
