package agent

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// knownKeys lists every key that a configuration file of the contract may
// hold, as dotted paths.
//
//go:embed known_keys.txt
var knownKeys string

var quotedName = regexp.MustCompile(`"([^"]+)"`)

// explainUnbuilt tells keys that nobody knows from keys that exist but whose
// feature isn't built: the second kind is no typing mistake.
func explainUnbuilt(diags hcl.Diagnostics) hcl.Diagnostics {
	last := map[string]bool{}
	for _, key := range strings.Fields(knownKeys) {
		last[key[strings.LastIndex(key, ".")+1:]] = true
	}
	for _, d := range diags {
		if !strings.HasPrefix(d.Summary, "Unsupported") {
			continue
		}
		name := quotedName.FindStringSubmatch(d.Detail)
		if len(name) == 2 && last[name[1]] && !strings.Contains(d.Detail, "Did you mean") {
			d.Summary = "Not built yet"
			d.Detail = fmt.Sprintf("The key %q is known, but what it configures is not built yet (docs/status.md). Remove it to start the agent without it.", name[1])
		}
	}
	return diags
}
