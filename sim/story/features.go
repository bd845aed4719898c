package story

import "strings"

// used notes what was used of the system by a sentence that was accepted: a
// job's kind and settings, else the sentence's form.
func (p *Play) used(l *Line) {
	words := l.words
	if words[0] == "try" {
		words = words[1:]
	}
	if words[0] != "job" {
		p.result.Features[l.verb.form]++
		return
	}
	p.result.Features["job: "+words[2]]++
	for _, setting := range words[3:] {
		key, _, _ := strings.Cut(setting, "=")
		p.result.Features["job: "+key]++
	}
}
