// Package view is how answers look: tables, key lines, times, sizes, JSON and
// templates. Every answer has a form for people and one for programs.
//
// It must not know how answers were come by. Begin reading at Table.
package view

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"
)

// Table lays out rows under headings: columns padded with blanks, two between
// them. Control characters are shown, not sent to the terminal.
func Table(headings []string, rows [][]string) string {
	widths := make([]int, len(headings))
	all := append([][]string{headings}, rows...)
	for _, row := range all {
		for i, cell := range row {
			row[i] = OneLine(cell)
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	var b strings.Builder
	for _, row := range all {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
	return b.String()
}

// Pair is one key line.
type Pair struct{ Key, Value string }

// Keys lays out key lines: Key = value, keys padded to the longest.
func Keys(pairs []Pair) string {
	width := 0
	for _, p := range pairs {
		width = max(width, len(p.Key))
	}
	var b strings.Builder
	for _, p := range pairs {
		value := OneLine(p.Value)
		if value == "" {
			value = "<none>"
		}
		fmt.Fprintf(&b, "%-*s = %s\n", width, p.Key, value)
	}
	return b.String()
}

// Section puts a title on its own line above a body, bold when coloured.
func Section(title, body string, bold bool) string {
	if bold {
		title = "\x1b[1m" + title + "\x1b[0m"
	}
	return "\n" + title + "\n" + body
}

// Clean shows control characters instead of obeying them: names, messages and
// outputs come from jobs and tasks.
func Clean(s string) string {
	if strings.IndexFunc(s, isControl) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if isControl(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// Lines splits a text into its lines, for places that can show several: without
// indents, empty lines and the stars of lists, and otherwise clean.
func Lines(s string) []string {
	var out []string
	for line := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == '\n' || r == '\r' }) {
		line = strings.TrimSpace(strings.ReplaceAll(line, "\t", " "))
		if line = strings.TrimPrefix(line, "* "); line != "" {
			out = append(out, Clean(line))
		}
	}
	return out
}

// OneLine shows a text of several lines in one, for cells of a table.
func OneLine(s string) string {
	if !strings.ContainsAny(s, "\n\r\t") {
		return Clean(s)
	}
	var b strings.Builder
	for i, line := range Lines(s) {
		switch {
		case i == 0:
		case strings.HasSuffix(b.String(), ":"):
			b.WriteByte(' ')
		default:
			b.WriteString("; ")
		}
		b.WriteString(line)
	}
	return b.String()
}

func isControl(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }

// shortID is how many characters of an id people see.
const shortID = 8

// ID returns the short form of an id, or all of it when verbose.
func ID(id string, verbose bool) string {
	if verbose || len(id) <= shortID {
		return id
	}
	return id[:shortID]
}

// Time formats a time absolutely, RFC 3339 in UTC with whole seconds, and a
// time that never was as N/A.
func Time(t time.Time) string {
	if t.IsZero() || t.Unix() <= 0 {
		return "N/A"
	}
	return t.UTC().Format(time.RFC3339)
}

// Nanos formats unix nanoseconds, see Time.
func Nanos(n int64) string {
	if n == 0 {
		return "N/A"
	}
	return Time(time.Unix(0, n))
}

// Ago formats how long before now a time was, 1m56s ago, or absolutely when
// verbose.
func Ago(t, now time.Time, verbose bool) string {
	if verbose || t.IsZero() || t.Unix() <= 0 {
		return Time(t)
	}
	d := now.Sub(t)
	if d < 0 {
		d = 0
	}
	return Duration(d) + " ago"
}

// Duration formats a duration with its two largest units: 3d4h, 1m56s, 0s.
func Duration(d time.Duration) string {
	d = d.Truncate(time.Second)
	units := []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}}
	var b strings.Builder
	parts := 0
	for _, u := range units {
		n := d / u.size
		d -= n * u.size
		if n == 0 {
			continue
		}
		fmt.Fprintf(&b, "%d%s", n, u.name)
		if parts++; parts == 2 {
			break
		}
	}
	if parts == 0 {
		return "0s"
	}
	return b.String()
}

// Bytes formats a size: 18 MiB, 0 B.
func Bytes(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	value := float64(n)
	i := 0
	for value >= 1024 && i < len(units)-1 {
		value /= 1024
		i++
	}
	if value == float64(uint64(value)) {
		return fmt.Sprintf("%d %s", uint64(value), units[i])
	}
	return fmt.Sprintf("%.1f %s", value, units[i])
}

// Bool formats a yes or no for tables: true, false.
func Bool(b bool) string { return fmt.Sprint(b) }

// JSON writes value as indented JSON.
func JSON(w io.Writer, value any) error {
	data, err := json.MarshalIndent(value, "", "    ")
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	_, err = fmt.Fprintln(w, string(data))
	return err
}

// Template writes value through a Go template.
func Template(w io.Writer, text string, value any) error {
	t, err := template.New("format").Parse(text)
	if err != nil {
		return fmt.Errorf("read the template given with -t: %w", err)
	}
	var b strings.Builder
	if err := t.Execute(&b, value); err != nil {
		return fmt.Errorf("fill the template given with -t: %w", err)
	}
	_, err = fmt.Fprintln(w, b.String())
	return err
}
