package main

import (
	"bytes"
	"context"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestBugsFit keeps the list true: each bug has its place in the code, once, and
// leaves Go behind.
func TestBugsFit(t *testing.T) {
	t.Chdir("../..")
	bugs, err := readBugs("tools/plant/bugs.txt")
	if err != nil {
		t.Fatal(err)
	}
	if len(bugs) < 25 {
		t.Errorf("%d bugs are listed, 25 are promised", len(bugs))
	}
	for _, b := range bugs {
		source, err := b.apply()
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := parser.ParseFile(token.NewFileSet(), b.file, source, 0); err != nil {
			t.Errorf("%s: %v", b.name, err)
		}
	}
}

func TestListIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"file x.go\n": "begins with ==",
		"== a\nBreaks it.\nfile x.go\n-a\n+b\ntest ./x\n== a\n": "twice",
		"== a\nfile x.go\n-a\n+b\ntest ./x\n":                   "lacks",
		"== a\nBreaks it.\nfile x.go\n-a\n+b\n":                 "lacks",
	} {
		path := t.TempDir() + "/bugs.txt"
		write(t, path, text)
		if _, err := readBugs(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is refused with %v, want %q", text, err, want)
		}
	}
}

const victim = `package p

func f(n int, s []int) int {
	if n < 3 && n > 0 {
		return 1
	}
	switch {
	case n == 7:
		n++
	}
	for _, x := range s {
		n = n + x
	}
	g()
	return n
}
`

// TestChanges wants each kind of change found, and Go left behind by each.
func TestChanges(t *testing.T) {
	changes, err := changesOf("p.go", victim)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, c := range changes {
		if _, err := parser.ParseFile(token.NewFileSet(), "p.go", c.in(victim), 0); err != nil {
			t.Errorf("%s: %v", c, err)
		}
		told = append(told, strings.TrimPrefix(c.String(), "p.go:"))
	}
	for _, want := range []string{
		"4 negate a condition: n < 3 && n > 0 → !(n < 3 && n > 0)",
		"4 forget a guard: n < 3 && n > 0 → false && (n < 3 && n > 0)",
		"4 swap an operator: < → <=",
		"4 swap an operator: && → ||",
		"4 off by one: 3 → (3 + 1)",
		"12 swap a sum: + → -",
		"8 forget a case: n == 7 → false && (n == 7)",
		"9 drop a statement: n++ → ",
		"12 drop a statement: n = n + x → ",
		"14 drop a statement: g() → ",
	} {
		if !slices.Contains(told, want) {
			t.Errorf("no change %q among\n%s", want, strings.Join(told, "\n"))
		}
	}
}

// TestAtOnce weaves all changes of a package into it: with none of them on it is as
// it was, and each that a test can notice is noticed.
func TestAtOnce(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "go.mod", "module planted\n\ngo 1.26\n")
	if err := os.Mkdir("room", 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, "room/room.go", `package room

import "time"

const wide = 3

func classify(n int, all []int) (out int) {
	if n < 3 && n > 0 || n == 99 {
		return 1
	}
	switch {
	case n == 7:
		out++
	}
	for i := 0; i < len(all); i++ {
		out = out + all[i]
	}
	return out - wide
}

func pause(n int64) time.Duration { return time.Duration(n) * 2 * time.Second }

func untested(n int) bool { return n > 4 && n < 6 }
`)
	write(t, "room/room_test.go", `package room

import "testing"

func TestClassify(t *testing.T) {
	for _, c := range [][2]int{{2, 1}, {1, 1}, {0, 3}, {3, 3}, {-1, 3}, {7, 4}, {99, 1}} {
		if got := classify(c[0], []int{1, 2, 3}); got != c[1] {
			t.Errorf("%d: %d", c[0], got)
		}
	}
	if pause(3).Seconds() != 6 {
		t.Error("pause")
	}
}
`)
	text, err := os.ReadFile("room/room.go")
	if err != nil {
		t.Fatal(err)
	}
	changes, err := changesOf("room/room.go", string(text))
	if err != nil {
		t.Fatal(err)
	}
	r := &room{path: "room", tests: [][]string{{"./room"}}}
	for _, c := range changes {
		c.room = r
	}
	tester, err := newTester(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer tester.close()
	var out bytes.Buffer
	count, err := tester.tryAll(t.Context(), changes, r.tests, &out)
	if err != nil {
		t.Fatal(err)
	}
	// Of the function that nothing tests two operators, one && and two numbers
	// survive, and nothing else; 2 * time.Second is no int.
	if count[survived] != 5 || count[noBuild] != 1 || count[caught] != len(changes)-6 || len(changes) < 20 {
		t.Errorf("%v of %d changes\n%s", count, len(changes), out.String())
	}
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, string(survived)) && !strings.Contains(line, "room.go:23 ") {
			t.Errorf("survived: %s", line)
		}
	}
}

// TestPlant plants into a module of its own: bugs are caught, one survives, one
// doesn't build; tests that fail anyway, or that no test ended, prove nothing.
func TestPlant(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "go.mod", "module planted\n\ngo 1.26\n")
	write(t, "p.go", "package planted\n\nfunc double(n int) int { return 2 * n }\n\nfunc half(n int) int {\n\treturn n / 2 // or so\n}\n")
	write(t, "q.go", "package planted\n\nconst two = 2\n\nfunc q(n *int) { *n = two * *n }\n")
	write(t, "p_test.go", `package planted

import (
	"os"
	"testing"
)

func TestDouble(t *testing.T) {
	if double(2) != 4 {
		t.Error("wrong")
	}
}

func TestQ(t *testing.T) {
	n := 2
	if q(&n); n != 4 {
		t.Error("wrong")
	}
}

func TestBroken(t *testing.T) { t.Error("always") }

func TestCrash(t *testing.T) {
	if double(2) != 4 {
		os.Exit(3)
	}
}
`)
	const list = `== a
Doubles wrongly.
file p.go
-return 2 * n
+return 3 * n
test . -run Double

== b
Halves wrongly.
file p.go
-return n / 2
+return n / 3
test . -run Double

== c
Is no Go.
file q.go
-*n = two * *n
+*n = "x"
test . -run Double

== d
Isn't in a function.
file q.go
-const two = 2
+const two = 3
test . -run Q

== e
Never ends.
file p.go
-return 2 * n
+for n > 0 { n = 2 }; return n
test . -run Double
`
	write(t, "bugs.txt", list)
	var out bytes.Buffer
	err := plant(context.Background(), []string{"-slack", "2s", "-bugs", "bugs.txt"}, &out)
	if err == nil || !strings.Contains(err.Error(), errSurvived.Error()) {
		t.Errorf("the error is %v", err)
	}
	for i, want := range []string{"5 bugs, 3 of them woven", "caught ", "SURVIVED ", "DOES NOT BUILD ", "caught ", "caught ", "5 bugs, 2 not caught"} {
		if lines := strings.Split(out.String(), "\n"); i >= len(lines) || !strings.HasPrefix(lines[i], want) {
			t.Errorf("line %d doesn't begin with %q in\n%s", i+1, want, out.String())
		}
	}
	if err := plant(context.Background(), []string{"-slack", "2s", "-bugs", "bugs.txt", "-only", "a"}, &out); err != nil {
		t.Errorf("caught, and yet: %v", err)
	}
	write(t, "bugs.txt", strings.ReplaceAll(list, "-run Double", "-run Crash"))
	if err := plant(context.Background(), []string{"-slack", "2s", "-bugs", "bugs.txt", "-only", "a"}, &out); err == nil || !strings.Contains(err.Error(), "by no test") {
		t.Errorf("tests that crash: %v", err)
	}
	write(t, "bugs.txt", strings.ReplaceAll(list, "-run Double", "-run Broken"))
	if err := plant(context.Background(), []string{"-slack", "2s", "-bugs", "bugs.txt"}, &out); err == nil || !strings.Contains(err.Error(), "proves nothing") {
		t.Errorf("tests that always fail: %v", err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
