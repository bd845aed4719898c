package jobspec

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Older job files quote the names of attributes, env { "FOO" = "bar" }, which
// the parser refuses, and only so can a key hold dots. unquote gives such names
// a form that the parser takes, of the same length, so that every place stays
// where it is; restore brings the names back.

// unquote returns the text with quoted attribute names replaced, and what the
// replacements stand for. It returns src itself if there are none.
func unquote(src []byte, tokens hclsyntax.Tokens) ([]byte, map[string]string) {
	var blocks []bool // of each open bracket: whether it opens a block
	names := map[string]string{}
	out := src
	for i, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOBrace:
			blocks = append(blocks, i > 0 && opensBlock(tokens[i-1].Type))
		case hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			blocks = append(blocks, false)
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd:
			blocks = blocks[:max(0, len(blocks)-1)]
		case hclsyntax.TokenOQuote:
			if len(blocks) == 0 || !blocks[len(blocks)-1] || !isQuotedName(tokens, i) {
				continue
			}
			name := string(tokens[i+1].Bytes)
			word, ok := stand(src, name, len(names))
			if !ok {
				continue
			}
			if len(names) == 0 {
				out = bytes.Clone(src)
			}
			names[strings.TrimSpace(word)] = name
			copy(out[t.Range.Start.Byte:], word)
		}
	}
	return out, names
}

func opensBlock(before hclsyntax.TokenType) bool {
	return before == hclsyntax.TokenIdent || before == hclsyntax.TokenCQuote
}

// isQuotedName reports whether "name" = … begins at token i.
func isQuotedName(tokens hclsyntax.Tokens, i int) bool {
	if i == 0 || i+3 >= len(tokens) {
		return false
	}
	before := tokens[i-1].Type
	return (before == hclsyntax.TokenNewline || before == hclsyntax.TokenOBrace || before == hclsyntax.TokenComment) &&
		tokens[i+1].Type == hclsyntax.TokenQuotedLit && !bytes.ContainsRune(tokens[i+1].Bytes, '\\') &&
		tokens[i+2].Type == hclsyntax.TokenCQuote && tokens[i+3].Type == hclsyntax.TokenEqual
}

// stand returns what stands for a quoted name: itself if it is a plain name,
// else a word that isn't in the text, in either case as long as the name was
// with its quotes.
func stand(src []byte, name string, n int) (string, bool) {
	if hclsyntax.ValidIdentifier(name) {
		return name + "  ", true
	}
	number := strconv.FormatInt(int64(n), 36)
	width := len(name) + 1 // with the quotes, less the first character
	if len(number) > width {
		return "", false
	}
	word := "_" + strings.Repeat("0", width-len(number)) + number
	return word, !bytes.Contains(src, []byte(word))
}

// restore gives the attributes of a body their names back.
func restore(body *hclsyntax.Body, names map[string]string) {
	for word, a := range body.Attributes {
		if name, ok := names[word]; ok && name != word {
			delete(body.Attributes, word)
			a.Name = name
			body.Attributes[name] = a
		}
	}
	for _, b := range body.Blocks {
		restore(b.Body, names)
	}
}
