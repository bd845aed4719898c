package main

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Bugs of the list that are within one function are woven into the code together,
// as changes at random are: the function's body with the bug comes before the one
// without it, behind a switch. Each test is built once for all of them. The others
// are planted one by one.

// twin is a function's body with a bug in it.
type twin struct {
	number int
	at     int // offset after the brace that opens the body
	body   string
	// answers says that the function has results: then its body can't end without
	// a return.
	answers bool
}

// twinOf returns the body that differs from the original's; ok is false unless the
// bug is within one body.
func twinOf(text, changed string) (tw twin, ok bool) {
	was, now := bodies(text), bodies(changed)
	if len(was) == 0 || len(was) != len(now) {
		return tw, false
	}
	for i := range was {
		a, b := was[i], now[i]
		inner, other := text[a.from:a.to], changed[b.from:b.to]
		if inner == other {
			continue
		}
		// Nothing else may differ.
		ok = text[:a.from] == changed[:b.from] && text[a.to:] == changed[b.to:]
		return twin{at: a.from, body: other, answers: a.answers}, ok
	}
	return tw, false
}

// body is where a function's body is, without its braces.
type body struct {
	span
	answers bool
}

func bodies(text string) []body {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, "", text, parser.SkipObjectResolution)
	if err != nil {
		return nil
	}
	var out []body
	for _, d := range tree.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
			at := span{set.Position(fn.Body.Lbrace).Offset + 1, set.Position(fn.Body.Rbrace).Offset}
			out = append(out, body{at, fn.Type.Results.NumFields() > 0})
		}
	}
	return out
}

// weaveTwins returns a file's text with the bodies of several bugs.
func weaveTwins(text string, twins []twin) string {
	twins = slices.Clone(twins)
	slices.SortStableFunc(twins, func(a, b twin) int { return b.at - a.at })
	for _, tw := range twins {
		end := "\nreturn"
		if tw.answers {
			end = ""
		}
		text = text[:tw.at] + fmt.Sprintf("\nif planted(%d) {%s%s\n}\n", tw.number, tw.body, end) + text[tw.at:]
	}
	return text
}

// bed is code with many bugs in it, and the tests that were built of it.
type bed struct {
	t        *tester
	twins    map[string][]twin // by file
	numbers  map[*bug]int      // of those that are woven in
	paths    map[string]string // of test binaries, by package
	binaries map[string]*binary
}

// sow weaves those of the bugs in that can be.
func (t *tester) sow(ctx context.Context, bugs []*bug) (*bed, error) {
	d := &bed{t: t, twins: map[string][]twin{}, numbers: map[*bug]int{}, paths: map[string]string{}, binaries: map[string]*binary{}}
	for i, b := range bugs {
		text, err := os.ReadFile(b.file)
		if err != nil {
			return nil, fmt.Errorf("plant %s: %w", b.name, err)
		}
		changed, err := b.apply()
		if err != nil {
			return nil, err
		}
		if tw, ok := twinOf(string(text), changed); ok {
			tw.number = i + 1
			d.twins[b.file] = append(d.twins[b.file], tw)
			d.numbers[b] = tw.number
		}
	}
	return d, d.write(ctx)
}

// write writes the overlay; what doesn't build together is planted one by one.
func (d *bed) write(ctx context.Context) error {
	for len(d.twins) > 0 {
		texts, packages := map[string]string{}, map[string]bool{}
		for file, twins := range d.twins {
			text, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("change a room: %w", err)
			}
			texts[file] = weaveTwins(string(text), twins)
			texts[filepath.Join(filepath.Dir(file), "planted_switches.go")] = switchesOf(string(text))
			packages["./"+filepath.Dir(file)] = true
		}
		if err := d.t.overlayTexts(texts); err != nil {
			return err
		}
		said, err := d.t.gotool(ctx, slices.Concat([]string{"build", "-overlay", d.t.overlayPath()}, slices.Sorted(maps.Keys(packages)))...)
		if ctx.Err() != nil || err == nil {
			return ctx.Err()
		}
		before := len(d.twins)
		for _, m := range buildError.FindAllStringSubmatch(said, -1) {
			d.drop(d.t.originalOf(m[1]))
		}
		if before == len(d.twins) {
			return fmt.Errorf("go build with all bugs: %w: %s", err, said)
		}
	}
	return nil
}

func (d *bed) drop(file string) {
	delete(d.twins, file)
	for b := range d.numbers {
		if b.file == file {
			delete(d.numbers, b)
		}
	}
}

// try runs a bug's tests until one fails.
func (d *bed) try(ctx context.Context, b *bug) (result, error) {
	number := d.numbers[b]
	if number == 0 {
		source, err := b.apply()
		if err != nil {
			return result{}, err
		}
		return d.t.try(ctx, b.file, source, b.tests)
	}
	for _, args := range b.tests {
		binaries, err := d.built(ctx, args)
		if err != nil {
			return result{}, err
		}
		r, err := d.t.with(ctx, number, binaries)
		if err != nil || r.verdict == caught {
			return r, err
		}
	}
	return result{verdict: survived}, nil
}

// built returns tests with all bugs in them, building what isn't yet.
func (d *bed) built(ctx context.Context, args []string) ([]*binary, error) {
	wanted := testsOf(args)
	for i, b := range wanted {
		key := strings.Join(append([]string{b.dir}, b.args...), " ")
		if have := d.binaries[key]; have != nil {
			wanted[i] = have
			continue
		}
		b.path = d.paths[b.dir]
		if err := d.t.build(ctx, b, "bed-"); err != nil {
			return nil, err
		}
		d.paths[b.dir], d.binaries[key] = b.path, b
	}
	return wanted, nil
}
