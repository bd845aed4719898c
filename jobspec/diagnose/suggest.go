package diagnose

import (
	"fmt"

	"github.com/steppe-run/steppe/structs"
)

// DidYouMean suggests the closest of the known words, or nothing.
func DidYouMean(word string, known []string) string {
	if best := Closest(word, known); best != "" {
		return fmt.Sprintf("Did you mean %q?", best)
	}
	return ""
}

// Closest returns the known word that is nearest to one, or nothing.
func Closest(word string, known []string) string { return structs.Closest(word, known) }
