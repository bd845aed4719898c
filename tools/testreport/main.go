// Command testreport reads the output of `go test -json` from a file and tells
// people what matters: what failed, with its output, and what was left out,
// with the reason.
//
// It must not know what the tests test. Begin reading at run.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
)

type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: testreport FILE")
	}
	file, err := os.Open(args[0])
	if err != nil {
		return fmt.Errorf("read test results: %w", err)
	}
	defer func() { _ = file.Close() }() // only read
	report, err := read(file)
	if err != nil {
		return fmt.Errorf("read test results: %w", err)
	}
	report.write(out)
	if len(report.failed) > 0 {
		return fmt.Errorf("%d failed", len(report.failed))
	}
	return nil
}

type report struct {
	output  map[string][]string // by package and test
	failed  []string
	skipped []string
	passed  int
	took    map[string]float64 // by package
}

func read(r io.Reader) (*report, error) {
	rep := &report{output: map[string][]string{}, took: map[string]float64{}}
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		var e event
		if err := json.Unmarshal(scanner.Bytes(), &e); err != nil {
			rep.output["build"] = append(rep.output["build"], scanner.Text()+"\n")
			continue
		}
		rep.add(e)
	}
	return rep, scanner.Err()
}

func (r *report) add(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		r.output[key] = append(r.output[key], e.Output)
	case "build-output":
		r.output["build"] = append(r.output["build"], e.Output)
	case "fail":
		r.failed = append(r.failed, key)
	case "skip":
		if e.Test != "" {
			r.skipped = append(r.skipped, key)
		}
	case "pass":
		if e.Test != "" {
			r.passed++
		}
	}
	if e.Test == "" && e.Elapsed > 0 {
		r.took[e.Package] = e.Elapsed
	}
}

func (r *report) write(out io.Writer) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) } // a closed terminal
	for _, line := range r.output["build"] {
		p("%s", line)
	}
	sort.Strings(r.failed)
	for _, key := range r.failed {
		p("FAIL %s\n%s", key, strings.Join(r.output[key], ""))
	}
	if len(r.skipped) > 0 {
		p("left out:\n")
		for _, key := range r.skipped {
			p("  %s: %s\n", key, reason(r.output[key]))
		}
	}
	p("slowest packages:\n")
	for _, name := range slowest(r.took, 5) {
		p("  %6.1f s  %s\n", r.took[name], name)
	}
	p("%d passed, %d failed, %d left out\n", r.passed, len(r.failed), len(r.skipped))
}

// reason is the last line that the test itself printed before it was skipped.
func reason(lines []string) string {
	for i := len(lines) - 1; i >= 0; i-- {
		line := strings.TrimSpace(lines[i])
		if line != "" && !strings.HasPrefix(line, "---") && !strings.HasPrefix(line, "===") {
			return line
		}
	}
	return "no reason given"
}

func slowest(took map[string]float64, n int) []string {
	var names []string
	for name := range took {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool { return took[names[i]] > took[names[j]] })
	return names[:min(n, len(names))]
}
