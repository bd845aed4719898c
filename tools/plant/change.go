package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
)

// change is one small change of a file's syntax.
type change struct {
	room *room
	file string
	line int
	// kind is what sort of mistake it is.
	kind string
	// from and to are the bytes that becomes takes the place of.
	from, to     int
	was, becomes string
}

// String tells the change in one line.
func (c *change) String() string {
	return fmt.Sprintf("%s:%d %s: %s → %s", c.file, c.line, c.kind, short(c.was), short(c.becomes))
}

func short(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 70 {
		text = text[:70] + "…"
	}
	return text
}

// apply returns the change's file with the change in it.
func (c *change) apply() (string, error) {
	text, err := os.ReadFile(c.file)
	if err != nil {
		return "", fmt.Errorf("change a file: %w", err)
	}
	return c.in(string(text)), nil
}

func (c *change) in(text string) string { return text[:c.from] + c.becomes + text[c.to:] }

// changesOf lists the changes that can be made to a file.
func changesOf(file, text string) ([]*change, error) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, file, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("read a room: %w", err)
	}
	f := &finder{file: file, text: text, set: set}
	for _, d := range tree.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
			ast.Inspect(fn.Body, f.visit)
		}
	}
	return f.found, nil
}

// finder finds what can be changed.
type finder struct {
	file, text string
	set        *token.FileSet
	found      []*change
}

// add notes that what stands between two positions may become something else; %s
// in it is what it was.
func (f *finder) add(kind string, from, to token.Pos, becomes string) {
	start, end := f.set.Position(from), f.set.Position(to)
	was := f.text[start.Offset:end.Offset]
	f.found = append(f.found, &change{
		file: f.file, line: start.Line, kind: kind, from: start.Offset, to: end.Offset,
		was: was, becomes: strings.ReplaceAll(becomes, "%s", was),
	})
}

func (f *finder) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.IfStmt:
		f.add("negate a condition", n.Cond.Pos(), n.Cond.End(), "!(%s)")
		if n.Else == nil && leaves(n.Body) {
			f.add("forget a guard", n.Cond.Pos(), n.Cond.End(), "false && (%s)")
		}
	case *ast.SwitchStmt:
		if n.Tag == nil {
			f.cases(n)
		}
	case *ast.ExprStmt:
		f.add("drop a statement", n.Pos(), n.End(), "")
	case *ast.IncDecStmt:
		f.add("drop a statement", n.Pos(), n.End(), "")
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			f.add("drop a statement", n.Pos(), n.End(), "")
		}
	case *ast.BinaryExpr:
		if other, ok := swapped[n.Op]; ok {
			f.add("swap an operator", n.OpPos, n.OpPos+token.Pos(len(n.Op.String())), other)
		}
	case *ast.BasicLit:
		if n.Kind == token.INT {
			f.add("off by one", n.Pos(), n.End(), "(%s + 1)")
		}
	}
	return true
}

var swapped = map[token.Token]string{
	token.LSS: "<=", token.LEQ: "<", token.GTR: ">=", token.GEQ: ">", token.LAND: "||", token.LOR: "&&",
	token.ADD: "-", token.SUB: "+",
}

// cases forgets the conditions of a switch, one by one.
func (f *finder) cases(s *ast.SwitchStmt) {
	for _, c := range s.Body.List {
		for _, e := range c.(*ast.CaseClause).List {
			f.add("forget a case", e.Pos(), e.End(), "false && (%s)")
		}
	}
}

// leaves reports whether a block ends by going elsewhere.
func leaves(b *ast.BlockStmt) bool {
	if len(b.List) == 0 {
		return false
	}
	switch b.List[len(b.List)-1].(type) {
	case *ast.ReturnStmt, *ast.BranchStmt:
		return true
	}
	return false
}
