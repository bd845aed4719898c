package task

import (
	"errors"
	"fmt"

	"github.com/steppe-run/steppe/structs"
)

// unbuilt says what a task asks for that this release can't do: a task that
// would run without it would be a surprise.
func unbuilt(t *structs.Task) error {
	var missing []error
	add := func(wanted bool, what string) {
		if wanted {
			missing = append(missing, fmt.Errorf("%s: not built yet in this release", what))
		}
	}
	add(len(t.Artifacts) > 0, "the artifact block")
	add(len(t.Templates) > 0, "the template block")
	add(t.Vault != nil, "the vault block")
	add(len(t.Secrets) > 0, "the secret block")
	add(t.Schedule != nil, "the schedule block")
	add(t.CSIPluginConfig != nil, "the csi_plugin block")
	add(t.Identity != nil && (t.Identity.Env || t.Identity.File), "identity with env or file")
	add(len(t.Identities) > 0, "further identity blocks")
	add(t.Resources != nil && len(t.Resources.Devices) > 0, "device resources")
	return errors.Join(missing...)
}
