package scheduler

import (
	"github.com/steppe-run/steppe/scheduler/place"
	"github.com/steppe-run/steppe/structs"
)

// Options returns what all placements of a job share, ties aside, for those
// who want to know what the planner thinks without a decision.
func Options(view View, config *structs.SchedulerConfiguration, job *structs.Job) place.Options {
	d := &decider{Input: Input{View: view, Config: config}, job: job}
	return place.Options{Algorithm: d.algorithm(), Oversubscribe: d.oversubscribe()}
}
