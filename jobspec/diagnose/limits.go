package diagnose

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Limits of a job file. They are far above what people write and keep any
// input, however hostile, from taking more than moments.
const (
	MaxInputBytes = 10 << 20
	MaxNesting    = 100 // brackets and blocks within each other
	MaxTokens     = 150_000
	// maxWords bounds words and signs of the text, before it is cut in tokens.
	maxWords = 500_000
	// maxMelding bounds the library's work of joining the lines of heredocs:
	// half their number times their bytes.
	maxMelding = 150_000_000
)

// CheckLimits refuses a text that is too large, too deep or too dense for the
// parser, which is recursive and in places quadratic.
func (r *Report) CheckLimits(file string, src []byte) (hclsyntax.Tokens, bool) {
	const smaller = "Read large texts with file(), or split the job."
	if len(src) > MaxInputBytes {
		r.Whole(file, smaller, "the file has %d bytes, more than the limit of %d", len(src), MaxInputBytes)
		return nil, false
	}
	if n := countWords(src); n > maxWords {
		r.Whole(file, smaller, "the file has more than %d words", maxWords)
		return nil, false
	}
	tokens, _ := hclsyntax.LexConfig(src, file, hcl.InitialPos) // the parser tells its errors
	if len(tokens) > MaxTokens {
		r.Whole(file, smaller, "the file has %d tokens, more than the limit of %d", len(tokens), MaxTokens)
		return nil, false
	}
	depth, run, runBytes, melding := 0, 0, 0, 0
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen,
			hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			if depth++; depth > MaxNesting {
				r.Fault(t.Range, "", "nested deeper than %d levels", MaxNesting)
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
			r.Fault(t.Range, smaller, "this text has too many lines")
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
