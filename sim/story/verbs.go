package story

import (
	"fmt"
	"slices"
	"strings"
)

// verb is one form of sentence.
type verb struct {
	// form is the sentence; words in capitals stand for what is told, "..." for
	// all that follows.
	form string
	do   func(p *Play, args []string) error
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
	if words[0] == wordTry || words[0] == wordRefused {
		words = words[1:]
	}
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
