package story

import (
	"fmt"
	"slices"
	"strings"

	"github.com/steppe-run/steppe/sim/cluster"
	"github.com/steppe-run/steppe/structs"
)

// verb is one form of sentence.
type verb struct {
	// form is the sentence; words in capitals stand for what is told, "..." for
	// all that follows.
	form string
	// job says that the first word in capitals is the name of a job.
	job bool
	do  func(p *Play, args []string) error
	// check looks at the arguments while the story is read; it may be nil.
	check func(args []string) error
}

// verbs are all sentences.
func verbs() []verb {
	return slices.Concat(userVerbs(), childVerbs(), nodeVerbs(), faultVerbs(), judgeVerbs())
}

// Words before a sentence.
const (
	// wordTry says that nobody waits for what comes of it.
	wordTry = "try"
	// wordRefused says that it must be refused; the answer is why.
	wordRefused = "refused"
)

// find returns the verb of a sentence, whose arguments must be right.
func find(words []string) (*verb, error) {
	words = bare(words)
	for _, v := range verbs() {
		args, ok := match(v.form, words)
		if !ok {
			continue
		}
		if v.check != nil {
			if err := v.check(args); err != nil {
				return nil, err
			}
		}
		return &v, nil
	}
	return nil, fmt.Errorf("%q is no sentence of a story%s", strings.Join(words, " "), nearest(words))
}

// nearest offers the forms that begin alike.
func nearest(words []string) string {
	var like []string
	for _, v := range verbs() {
		form := strings.Fields(v.form)
		if len(words) > 0 && form[0] == words[0] || len(words) > 1 && len(form) > 1 && form[1] == words[1] {
			like = append(like, fmt.Sprintf("%q", v.form))
		}
	}
	if len(like) == 0 {
		return ""
	}
	return ". Do you mean " + strings.Join(like, " or ") + "?"
}

// Strangers are the sentences about jobs, servers and nodes that neither the story nor
// the region that it begins with, if there is one, has: most likely a name is misspelt.
// What is tried or must be refused may be about anything.
func (s *Story) Strangers(origin *cluster.Origin) Errors {
	jobs, machines := s.names(origin)
	var faults Errors
	for _, l := range s.Lines {
		if len(bare(l.words)) < len(l.words) {
			continue
		}
		args, _ := match(l.verb.form, l.words)
		if l.verb.job {
			name := args[0]
			parent, _, _ := strings.Cut(name, "/") // of a launch or a dispatch
			if !slices.Contains(jobs, name) && !slices.Contains(jobs, parent) {
				faults = append(faults, stranger(l, fmt.Sprintf("no job %q is submitted", name), name, jobs))
			}
			continue
		}
		for _, name := range machinesOf(l) {
			if !slices.Contains(machines, name) {
				faults = append(faults, stranger(l, fmt.Sprintf("there is no server or node %q", name), name, machines))
			}
		}
	}
	return faults
}

func stranger(l Line, what, name string, names []string) *Error {
	if meant := structs.Closest(name, names); meant != "" {
		what += fmt.Sprintf(". Do you mean %q?", meant)
	}
	return &Error{l.Number, l.Text + ": " + what}
}

// names are the names of the jobs, and those of the servers and nodes, that there are
// or will be.
func (s *Story) names(origin *cluster.Origin) (jobs, machines []string) {
	machines = []string{"leader"}
	for i := range s.Servers {
		machines = append(machines, fmt.Sprint("server-", i+1))
	}
	for i := range s.Nodes {
		machines = append(machines, fmt.Sprint("node-", i+1))
	}
	if origin != nil {
		for j := range origin.Snapshot.Jobs(structs.AllNamespaces, "") {
			jobs = append(jobs, j.GetID())
		}
		for n := range origin.Snapshot.Nodes("") {
			machines = append(machines, n.Name)
		}
	}
	for _, l := range s.Lines {
		switch words := bare(l.words); {
		case words[0] == "job":
			jobs = append(jobs, words[1])
		case strings.HasPrefix(l.verb.form, "NAME joins"):
			machines = append(machines, words[0])
		}
	}
	return jobs, machines
}

// machinesOf are the servers and nodes that a sentence, which isn't about a job, names.
func machinesOf(l Line) (names []string) {
	for i, word := range strings.Fields(l.verb.form) {
		if (word == "NAME" || word == "OTHER") && l.words[0] != "job" {
			names = append(names, l.words[i])
		}
	}
	return names
}

// bare is a sentence without the word before it.
func bare(words []string) []string {
	if words[0] == wordTry || words[0] == wordRefused {
		return words[1:]
	}
	return words
}

// match compares a sentence with a form and returns what stands for its words in
// capitals; what "..." stands for comes last, as many words as there are.
func match(form string, words []string) (args []string, ok bool) {
	for i, f := range strings.Fields(form) {
		switch {
		case f == "...":
			return append(args, words[i:]...), true
		case i >= len(words):
			return nil, false
		case f == strings.ToUpper(f) && f != strings.ToLower(f):
			args = append(args, words[i])
		case f != words[i]:
			return nil, false
		}
	}
	return args, len(words) == len(strings.Fields(form))
}
