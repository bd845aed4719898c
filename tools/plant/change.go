package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
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
	// number is what the change is switched on by, from 1; whole is what woven is
	// written in the place of, up to the line last.
	number int
	whole  span
	last   int
	woven  pieces
}

// Kinds of changes that don't always build when they are woven in.
const (
	kindNumber   = "off by one"
	kindSum      = "swap a sum"
	kindOperator = "swap an operator"
)

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

func (c *change) in(text string) string { return text[:c.from] + c.becomes + text[c.to:] }

// changesOf lists the changes that can be made to a file.
func changesOf(file, text string) ([]*change, error) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, file, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("read a room: %w", err)
	}
	f := &finder{file: file, text: text, set: set, fixed: map[ast.Stmt]bool{}}
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
	// fixed are statements that can't stand behind a condition.
	fixed map[ast.Stmt]bool
}

func (f *finder) span(from, to token.Pos) span {
	return span{f.set.Position(from).Offset, f.set.Position(to).Offset}
}

// add notes that what stands between two positions may become something else; %s
// in it is what it was. It is woven in where whole is.
func (f *finder) add(kind string, at span, becomes string, whole span, woven pieces) {
	was := f.text[at.from:at.to]
	line := func(offset int) int { return 1 + strings.Count(f.text[:offset], "\n") }
	f.found = append(f.found, &change{
		file: f.file, line: line(at.from), kind: kind, from: at.from, to: at.to,
		was: was, becomes: strings.ReplaceAll(becomes, "%s", was), whole: whole, last: line(whole.to), woven: woven,
	})
}

func (f *finder) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.IfStmt:
		f.fix(n.Init)
		f.condition(n)
	case *ast.ForStmt:
		f.fix(n.Init, n.Post)
	case *ast.CommClause:
		f.fix(n.Comm)
	case *ast.SwitchStmt:
		f.fix(n.Init)
		if n.Tag == nil {
			f.cases(n)
		}
	case *ast.ExprStmt:
		f.drop(n)
	case *ast.IncDecStmt:
		f.drop(n)
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			f.drop(n)
		}
	case *ast.BinaryExpr:
		f.operator(n)
	case *ast.BasicLit:
		if n.Kind == token.INT {
			at := f.span(n.Pos(), n.End())
			f.add(kindNumber, at, "(%s + 1)", at, pieces{"plantedInt(#, ", at, ")"})
		}
	}
	return true
}

func (f *finder) fix(list ...ast.Stmt) {
	for _, s := range list {
		f.fixed[s] = true
	}
}

func (f *finder) condition(n *ast.IfStmt) {
	at := f.span(n.Cond.Pos(), n.Cond.End())
	f.add("negate a condition", at, "!(%s)", at, pieces{"(planted(#) != (", at, "))"})
	if n.Else == nil && leaves(n.Body) {
		f.add("forget a guard", at, "false && (%s)", at, pieces{"(!planted(#) && (", at, "))"})
	}
}

func (f *finder) drop(n ast.Stmt) {
	if !f.fixed[n] {
		at := f.span(n.Pos(), n.End())
		f.add("drop a statement", at, "", at, pieces{"if !planted(#) { ", at, " }"})
	}
}

var swapped = map[token.Token]string{
	token.LSS: "<=", token.LEQ: "<", token.GTR: ">=", token.GEQ: ">", token.LAND: "||", token.LOR: "&&",
	token.ADD: "-", token.SUB: "+",
}

// operator swaps what stands between two operands. What is woven in evaluates them
// once, or not at all, as what it takes the place of.
func (f *finder) operator(n *ast.BinaryExpr) {
	other, ok := swapped[n.Op]
	if !ok {
		return
	}
	was := n.Op.String()
	at, whole := f.span(n.OpPos, n.OpPos+token.Pos(len(was))), f.span(n.Pos(), n.End())
	a, b := f.span(n.X.Pos(), n.X.End()), f.span(n.Y.Pos(), n.Y.End())
	switch n.Op {
	case token.ADD, token.SUB:
		name := map[token.Token]string{token.ADD: "plantedSum", token.SUB: "plantedDiff"}[n.Op]
		f.add(kindSum, at, other, whole, pieces{name + "(#, ", a, ", ", b, ")"})
	case token.LAND, token.LOR:
		f.add(kindOperator, at, other, whole, pieces{"(((planted(#) != (", a, ")) " + was + " (planted(#) != (", b, "))) != planted(#))"})
	default:
		f.add(kindOperator, at, other, whole, pieces{"(planted(#) && (", a, ") " + other + " (", b, ") || !planted(#) && (", a, ") " + was + " (", b, "))"})
	}
}

// cases forgets the conditions of a switch, one by one.
func (f *finder) cases(s *ast.SwitchStmt) {
	for _, c := range s.Body.List {
		for _, e := range c.(*ast.CaseClause).List {
			at := f.span(e.Pos(), e.End())
			f.add("forget a case", at, "false && (%s)", at, pieces{"(!planted(#) && (", at, "))"})
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
