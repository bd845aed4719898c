package service

import "github.com/steppe-run/steppe/structs"

// thresholds say how many probes in a row it takes to change a status.
type thresholds struct {
	passing, warning, critical int
	given                      bool // the job says how the check begins
}

// tally counts probes in a row.
type tally struct{ successes, failures int }

func newThresholds(c *structs.ServiceCheck) thresholds {
	r := thresholds{passing: max(1, c.SuccessBeforePassing), critical: max(1, c.FailuresBeforeCritical)}
	r.warning = r.critical
	if c.FailuresBeforeWarning > 0 {
		r.warning = c.FailuresBeforeWarning
	}
	r.given = c.InitialStatus == initialPassing || c.InitialStatus == initialWarning
	return r
}

// patient reports whether a check whose service only just begins keeps the
// status with which it began.
func (r thresholds) patient() bool { return r.given || r.critical > 1 }

// next is the status after one more probe.
func (r thresholds) next(before string, t *tally, o Outcome) string {
	if o.OK || o.Warning {
		t.successes, t.failures = t.successes+1, 0
		switch {
		case t.successes < r.passing:
			return before
		case o.OK:
			return StatusSuccess
		}
		return StatusWarning
	}
	t.successes, t.failures = 0, t.failures+1
	switch {
	case t.failures >= r.critical:
		return StatusFailure
	case t.failures >= r.warning:
		return StatusWarning
	}
	return before
}

// The words of initial_status.
const (
	initialPassing  = "passing"
	initialWarning  = "warning"
	initialCritical = "critical"
)

func initialStatus(c *structs.ServiceCheck) string {
	switch c.InitialStatus {
	case initialPassing:
		return StatusSuccess
	case initialWarning:
		return StatusWarning
	case initialCritical:
		return StatusFailure
	}
	return StatusPending
}
