package main

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command"
	"github.com/steppe-run/steppe/command/agent"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/httpapi"
)

var parameter = regexp.MustCompile(`:[a-z_]+\+?`)

// shape is a path with its parameters' names left out.
func shape(p string) string {
	p, _, _ = strings.Cut(p, " ")
	return parameter.ReplaceAllString(p, ":")
}

// httpRows compares the contract's routes with the table of routes.
func httpRows() []row {
	routes := httpapi.Routes()
	var out []row
	for _, c := range lines("contract/http.tsv") {
		methods, p := c[0], c[1]
		r := row{name: strings.ReplaceAll(methods, "|", "/") + " " + p, status: notYet, note: "no such route"}
		for _, route := range routes {
			if shape(route.Path) != shape(p) || !sharesMethod(route.Methods, methods) {
				continue
			}
			if route.Built() {
				r.status, r.note = works, ""
			} else {
				r.note = route.Missing
			}
			break
		}
		out = append(out, r)
	}
	return out
}

func sharesMethod(ours, theirs string) bool {
	for _, m := range strings.Split(theirs, "|") {
		if m == "*" || slices.Contains(strings.Split(ours, "|"), strings.Fields(m)[0]) {
			return true
		}
	}
	return false
}

// cliRows compares the contract's commands and flags with the command tree.
func cliRows() []row {
	tree := command.Tree(term.System())
	var out []row
	for _, c := range lines("contract/cli.tsv") {
		name, kind, flags := c[0], c[1], strings.Fields(c[2])
		if kind == "env var" {
			out = append(out, row{name: name, status: notYet, note: "not read"})
			continue
		}
		r := row{name: name, status: notYet, note: "no such command"}
		if cmd := find(tree, strings.Fields(name)); cmd != nil && !command.NotBuilt(cmd) {
			r.status, r.note = works, ""
			if lacking := missingFlags(cmd, flags); len(lacking) > 0 {
				r.status, r.note = partly, "flags: -"+strings.Join(lacking, ", -")
			}
		}
		out = append(out, r)
	}
	return out
}

func find(cmd *cli.Command, words []string) *cli.Command {
	for _, w := range words {
		var next *cli.Command
		for _, sub := range cmd.Commands {
			if sub.Name == w || slices.Contains(sub.Aliases, w) {
				next = sub
			}
		}
		if next == nil {
			return nil
		}
		cmd = next
	}
	return cmd
}

func missingFlags(cmd *cli.Command, flags []string) []string {
	var have []string
	for _, f := range cmd.Flags {
		have = append(have, f.Names()...)
	}
	var out []string
	for _, f := range flags {
		if !slices.Contains(have, f) {
			out = append(out, f)
		}
	}
	return out
}

// configRows compares the contract's keys with what the agent's configuration
// decodes.
func configRows() []row {
	have := map[string]bool{}
	collect(reflect.TypeFor[agent.Config](), "", have)
	var out []row
	for _, c := range lines("contract/agent-config.tsv") {
		r := row{name: c[0], status: works}
		if !have[c[0]] {
			r.status, r.note = notYet, "refused, with a message that says so"
		}
		out = append(out, r)
	}
	return out
}

func collect(t reflect.Type, prefix string, have map[string]bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, kind, _ := strings.Cut(f.Tag.Get("hcl"), ",")
		if tag == "" || kind == "label" {
			continue
		}
		have[prefix+tag] = true
		inner := f.Type
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if kind == "block" && inner.Kind() == reflect.Struct {
			collect(inner, prefix+tag+".", have)
		}
	}
}

// specRows lists the job specification: the parser reads all of it, the notes
// tell what is acted upon.
func specRows() []row {
	var out []row
	for _, c := range lines("contract/jobspec.tsv") {
		out = append(out, row{name: strings.TrimSpace(c[0]), status: works})
	}
	return out
}

// describe is used by tests to name a row.
func describe(r row) string { return fmt.Sprintf("%s: %s (%s)", r.name, r.status, r.note) }

// objectRows lists what the objects of the contract may say. The list itself
// tells how each value is proven; the tests of the rooms that it names hold it to
// that.
func objectRows() []row {
	var out []row
	for _, c := range lines("contract/objects.tsv") {
		r := row{name: c[0] + "." + c[1] + ": " + c[2], status: works}
		if len(c) == 6 {
			r.note = c[5]
		}
		if c[4] == partly || c[4] == notYet {
			r.status = c[4]
		}
		out = append(out, r)
	}
	return out
}

// defaultRows lists defaults, timers and the keys of answers; they are proven as
// what objects say is.
func defaultRows() []row {
	var out []row
	for _, c := range lines("contract/defaults.tsv") {
		r := row{name: c[0] + " " + c[1] + ": " + c[2], status: works}
		if c[3] == partly || c[3] == notYet {
			r.status, r.note = c[3], c[4]
		}
		out = append(out, r)
	}
	return out
}
