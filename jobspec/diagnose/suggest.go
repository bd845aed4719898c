package diagnose

import (
	"fmt"

	"github.com/steppe-run/steppe/structs"
)

// DidYouMean suggests the closest of the known words, or nothing.
func DidYouMean(word string, known []string) string {
	if best := structs.Closest(word, known); best != "" {
		return fmt.Sprintf("Did you mean %q?", best)
	}
	return ""
}
