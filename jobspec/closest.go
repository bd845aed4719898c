package jobspec

import "github.com/steppe-run/steppe/jobspec/diagnose"

// Closest returns the known word that a misspelt one most likely means, or
// nothing.
func Closest(word string, known []string) string { return diagnose.Closest(word, known) }
