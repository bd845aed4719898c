package jobspec

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Limits of a job file. They are far above what people write and keep any
// input, however hostile, from taking more than moments.
const (
	MaxInputBytes = 10 << 20
	MaxNesting    = 100     // brackets and blocks within each other
	MaxBlocks     = 10_000  // after dynamic blocks were expanded
	MaxLoopSteps  = 100_000 // of all for expressions together
	MaxTokens     = 150_000
	// MaxValueBytes bounds what all expressions together may produce.
	MaxValueBytes = 64 << 20

	// maxValue bounds one value, all its parts together.
	maxValue = 16 << 20
	// partSize is what each part of a value counts besides its text.
	partSize = 64
	// maxWords bounds words and signs of the text, before it is cut in tokens.
	maxWords = 500_000
	// maxMelding bounds the library's work of joining the lines of heredocs:
	// half their number times their bytes.
	maxMelding = 150_000_000
)

// checkLimits refuses a text that is too large, too deep or too dense for the
// parser, which is recursive and in places quadratic.
func (r *report) checkLimits(file string, src []byte) (hclsyntax.Tokens, bool) {
	const smaller = "Read large texts with file(), or split the job."
	if len(src) > MaxInputBytes {
		r.whole(file, smaller, "the file has %d bytes, more than the limit of %d", len(src), MaxInputBytes)
		return nil, false
	}
	if n := countWords(src); n > maxWords {
		r.whole(file, smaller, "the file has more than %d words", maxWords)
		return nil, false
	}
	tokens, _ := hclsyntax.LexConfig(src, file, hcl.InitialPos) // the parser tells its errors
	if len(tokens) > MaxTokens {
		r.whole(file, smaller, "the file has %d tokens, more than the limit of %d", len(tokens), MaxTokens)
		return nil, false
	}
	depth, run, runBytes, melding := 0, 0, 0, 0
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen,
			hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			if depth++; depth > MaxNesting {
				r.fault(t.Range, "", "nested deeper than %d levels", MaxNesting)
				return nil, false
			}
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd:
			depth--
		}
		if t.Type != hclsyntax.TokenStringLit && t.Type != hclsyntax.TokenQuotedLit {
			run, runBytes = 0, 0
			continue
		}
		run++
		runBytes += len(t.Bytes)
		if melding += runBytes; run > 1 && melding > maxMelding {
			r.fault(t.Range, smaller, "this text has too many lines")
			return nil, false
		}
	}
	return tokens, true
}

// countWords counts words and signs: an upper bound of the tokens.
func countWords(src []byte) int {
	n, inWord := 0, false
	for _, c := range src {
		word := c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if c == ' ' || c == '\t' || word && inWord {
			inWord = word
			continue
		}
		inWord = word
		n++
	}
	return n
}

// budget is what is left of the limits while a file is evaluated.
type budget struct {
	blocks int
	steps  int
	bytes  int
}

func newBudget() *budget {
	return &budget{blocks: MaxBlocks, steps: MaxLoopSteps, bytes: MaxValueBytes}
}

// counted is an expression whose evaluations are counted: the body of a for
// expression, or what a template or a call is made of.
type counted struct {
	hclsyntax.Expression
	budget *budget
	step   bool // of a loop
}

// Value evaluates the expression unless the budget is used up.
func (c *counted) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	if c.step {
		c.budget.steps--
	}
	if c.budget.steps < 0 {
		return cty.DynamicVal, c.refuse("too many loop steps", "The for expressions of the file take too many steps.")
	}
	if c.budget.bytes < 0 {
		return cty.DynamicVal, c.refuse("too large a value", "The expressions of the file produce too much data.")
	}
	v, diags := c.Expression.Value(ctx)
	c.budget.bytes -= valueSize(v)
	return v, diags
}

func (c *counted) refuse(summary, detail string) hcl.Diagnostics {
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
