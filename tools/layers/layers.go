// Package layers keeps the house's walls: it reads the table of rooms in
// ARCHITECTURE.md and compares it with what packages really import.
//
// It must not know any room by name: the table is the law. Begin reading at
// Check.
package layers

import (
	"fmt"
	"path"
	"sort"
	"strings"
)

// Package is one package of the module with what it imports of the module.
// Paths are relative to the module's root; the root itself is "main.go".
type Package struct {
	Path    string
	Imports []string
}

// Rule is one row of the table.
type Rule struct {
	Floor   string
	Rooms   []string // patterns: structs/**, command/*, main.go
	Imports []string // patterns; "anything" allows all
}

// ParseTable reads the rules from the text of ARCHITECTURE.md: the first table
// whose header begins with "floor".
func ParseTable(text string) ([]Rule, error) {
	var rules []Rule
	inside := false
	for _, line := range strings.Split(text, "\n") {
		cells := cells(line)
		switch {
		case len(cells) == 3 && cells[0] == "floor":
			inside = true
		case inside && len(cells) != 3:
			return rules, nil
		case inside && !strings.HasPrefix(cells[0], "---"):
			rules = append(rules, Rule{Floor: cells[0], Rooms: patterns(cells[1]), Imports: patterns(cells[2])})
		}
	}
	if len(rules) == 0 {
		return nil, fmt.Errorf("find the table of rooms: no row begins with | floor |")
	}
	return rules, nil
}

func cells(line string) []string {
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "|") {
		return nil
	}
	parts := strings.Split(strings.Trim(line, "|"), "|")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

func patterns(cell string) []string {
	var out []string
	for _, p := range strings.Split(cell, ",") {
		if p = strings.Trim(strings.TrimSpace(p), "`"); p != "" {
			out = append(out, p)
		}
	}
	return out
}

// Check returns one sentence for each import that the rules don't allow and
// for each package that stands in no room.
func Check(rules []Rule, packages []Package) []string {
	var faults []string
	for _, p := range packages {
		rule, ok := ruleOf(rules, p.Path)
		if !ok {
			faults = append(faults, fmt.Sprintf("%s stands in no room of the table", p.Path))
			continue
		}
		for _, imported := range p.Imports {
			if !allowed(rule, p.Path, imported) {
				faults = append(faults, fmt.Sprintf("%s imports %s, which its row doesn't allow", p.Path, imported))
			}
		}
	}
	sort.Strings(faults)
	return faults
}

// ruleOf picks the most specific row: one that names the package itself, else
// the one whose pattern is longest.
func ruleOf(rules []Rule, pkg string) (Rule, bool) {
	var best Rule
	length := -1
	for _, r := range rules {
		for _, room := range r.Rooms {
			if room == pkg {
				return r, true
			}
			if match(room, pkg) && len(room) > length {
				best, length = r, len(room)
			}
		}
	}
	return best, length >= 0
}

func allowed(rule Rule, from, to string) bool {
	for _, p := range rule.Imports {
		if p == "anything" || match(p, to) {
			return true
		}
		// "itself" allows the rooms below the same first folder.
		if p == "itself" && firstFolder(from) == firstFolder(to) {
			return true
		}
	}
	return false
}

func firstFolder(p string) string {
	first, _, _ := strings.Cut(p, "/")
	return first
}

// match knows "a", "a/*" (a and one folder below) and "a/**" (a and all below).
func match(pattern, pkg string) bool {
	if base, ok := strings.CutSuffix(pattern, "/**"); ok {
		return pkg == base || strings.HasPrefix(pkg, base+"/")
	}
	if base, ok := strings.CutSuffix(pattern, "/*"); ok {
		return pkg == base || path.Dir(pkg) == base
	}
	return pattern == pkg
}
