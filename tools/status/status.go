// Command status writes docs/status.md: for each row of the contract whether
// it works, works partly, or isn't built yet. HTTP routes, commands, flags and
// configuration keys are judged by the code itself; what only people know
// stands in notes.tsv.
//
// It must not guess: a row that nobody judges works only if the code says so.
// Begin reading at document.
package main

import (
	"embed"
	"fmt"
	"os"
	"path"
	"sort"
	"strings"
)

//go:embed contract/*.tsv notes.tsv
var facts embed.FS

// The states of a row.
const (
	works  = "works"
	partly = "partly"
	notYet = "not yet"
)

// row is one row of the contract with what was found.
type row struct {
	name   string
	status string
	note   string
}

// table is one table of the contract.
type table struct {
	title string
	key   string
	rows  []row
}

func main() {
	text, err := document()
	if err == nil && len(os.Args) == 2 && os.Args[1] == "-write" {
		err = os.WriteFile("docs/status.md", []byte(text), 0o644)
	} else if err == nil {
		_, err = fmt.Print(text)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// document is the whole of docs/status.md.
func document() (string, error) {
	notes, err := readNotes()
	if err != nil {
		return "", err
	}
	tables := []*table{
		{"HTTP API", "http", httpRows()}, {"Command line", "cli", cliRows()},
		{"Job specification", "jobspec", specRows()}, {"Agent configuration", "agent", configRows()},
		{"Objects and their values", "objects", objectRows()}, {"Defaults, timers and answers", "defaults", defaultRows()},
		{"Plugins and drivers", "plugins", nil}, {"Paid features, free here", "enterprise", nil},
	}
	var b strings.Builder
	b.WriteString(introduction)
	for _, t := range tables {
		if err := notes.apply(t); err != nil {
			return "", err
		}
	}
	b.WriteString("| table | rows | work | partly | not yet |\n| --- | --- | --- | --- | --- |\n")
	for _, t := range tables {
		count := map[string]int{}
		for _, r := range t.rows {
			count[r.status]++
		}
		fmt.Fprintf(&b, "| [%s](#%s) | %d | %d | %d | %d |\n", t.title, anchor(t.title), len(t.rows), count[works], count[partly], count[notYet])
	}
	for _, t := range tables {
		t.write(&b)
	}
	return b.String(), notes.unused()
}

func anchor(title string) string {
	return strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(title), ",", ""), " ", "-")
}

// write lists what is missing with the reason, and what works without one.
func (t *table) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s\n", t.title)
	for _, status := range []string{partly, notYet} {
		byNote := map[string][]string{}
		for _, r := range t.rows {
			if r.status == status {
				byNote[r.note] = append(byNote[r.note], r.name)
			}
		}
		if len(byNote) == 0 {
			continue
		}
		fmt.Fprintf(b, "\n**%s**\n\n| rows | missing |\n| --- | --- |\n", strings.ToUpper(status[:1])+status[1:])
		for _, note := range sortedKeys(byNote) {
			fmt.Fprintf(b, "| %s | %s |\n", code(byNote[note], ", "), cell(note))
		}
	}
	var working []string
	for _, r := range t.rows {
		if r.status == works {
			working = append(working, r.name)
		}
	}
	if len(working) > 0 {
		fmt.Fprintf(b, "\n**Works**\n\n%s\n", code(working, ", "))
	}
}

func code(names []string, sep string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = "`" + cell(n) + "`"
	}
	return strings.Join(out, sep)
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func sortedKeys[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// lines reads one list of the contract.
func lines(name string) [][]string {
	data, err := facts.ReadFile(name)
	if err != nil {
		panic(err) // embedded above
	}
	var out [][]string
	for _, line := range strings.Split(strings.TrimRight(string(data), "\n"), "\n") {
		if line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, strings.Split(line, "\t"))
		}
	}
	return out
}

// note is human knowledge about rows: all whose name is the pattern, lies
// below it (pattern ends in .*) or matches it as a glob.
type note struct {
	table, pattern, status, text string
	used                         bool
}

type notes struct{ all []*note }

func readNotes() (*notes, error) {
	n := &notes{}
	for _, cells := range lines("notes.tsv") {
		if len(cells) != 4 {
			return nil, fmt.Errorf("notes.tsv: %q has %d cells, not 4", cells[0], len(cells))
		}
		n.all = append(n.all, &note{table: cells[0], pattern: cells[1], status: cells[2], text: cells[3]})
	}
	return n, nil
}

// apply judges a table's rows by the notes; the last note that matches wins. A
// note with a leading + adds a row that no list holds.
func (n *notes) apply(t *table) error {
	for _, note := range n.all {
		if note.table != t.key {
			continue
		}
		if name, ok := strings.CutPrefix(note.pattern, "+"); ok {
			t.rows = append(t.rows, row{name, note.status, note.text})
			note.used = true
			continue
		}
		for i := range t.rows {
			r := &t.rows[i]
			if !note.matches(r.name) {
				continue
			}
			note.used = true
			if note.status == works && r.status == notYet && !strings.HasPrefix(r.name, "NOMAD_") && t.key != "jobspec" {
				return fmt.Errorf("notes.tsv: %q says that %s works, the code says it isn't built", note.pattern, r.name)
			}
			r.status, r.note = note.status, note.text
		}
	}
	return nil
}

func (n *note) matches(name string) bool {
	if base, ok := strings.CutSuffix(n.pattern, ".*"); ok {
		return name == base || strings.HasPrefix(name, base+".")
	}
	ok, err := path.Match(n.pattern, name)
	return n.pattern == name || err == nil && ok
}

func (n *notes) unused() error {
	for _, note := range n.all {
		if !note.used {
			return fmt.Errorf("notes.tsv: %s %q matches no row", note.table, note.pattern)
		}
	}
	return nil
}

const introduction = `# Status

What of Nomad's public surface works in Steppe, row by row. This page is written by ` + "`go run ./tools/status -write`" + `: routes, commands, flags and configuration
keys are judged by the code, the rest by the notes in ` + "`tools/status/notes.tsv`" + `. A test fails when it is out of date. What isn't built answers with an error that says so.

Works end to end: service, batch, system and sysbatch jobs, periodic and parameterized ones too, with exact placement, constraints, affinities, spreads, ports and services; rolling updates with health, canaries, auto-revert;
restart, reschedule, node loss, drain; exec, raw_exec, docker and mock drivers as plugins, tasks that outlive agent and plugin; logs, files, exec; clusters of several servers.

Not built yet, in short: access control, variables and encryption keys, templates and artifacts, CNI networks, volumes
beyond host volumes, device plugins, the java and qemu drivers, the web console, federation, snapshots over HTTP.

`
