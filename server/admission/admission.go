// Package admission decides whether a job may be stored: it makes a submitted
// job whole (defaults, implied constraints) and says all that is wrong with it.
//
// It must not know who asks nor how the job will be stored. Begin reading at
// Admit, what isn't built yet is in unbuilt.go.
package admission

import (
	"errors"
	"fmt"
	"strings"

	"github.com/steppe-run/steppe/internal/squeeze"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// Rules are what a server asks of all jobs.
type Rules struct {
	Region string
	// MaxCount is how many allocations a job may ask for; 0 is no limit.
	MaxCount int
}

// Admit makes a job ready to be stored: defaults, implied constraints, and
// everything checked. It takes the job over: copying it costs as much as checking
// it.
func Admit(snap *state.Snapshot, rules Rules, job *structs.Job, namespace string) (*structs.Job, []string, error) {
	if job == nil {
		return nil, nil, structs.NewError(structs.KindInvalid, "Job must be specified")
	}
	job, warnings, err := Check(snap, rules, job, namespace)
	if err != nil {
		return nil, nil, err
	}
	if err := NotBuilt(job); err != nil {
		return nil, nil, err
	}
	// Jobs carry a payload in another form than requests.
	if len(job.Payload) > structs.MaxDispatchPayload {
		return nil, nil, structs.NewValidationError(fmt.Sprintf("the payload has %d bytes, more than the limit of %d", len(job.Payload), structs.MaxDispatchPayload))
	}
	job.Payload = squeeze.Pack(job.Payload)
	return job, warnings, nil
}

// Check is Admit without asking whether the job's kind is built yet. The job
// that it returns is canonical even if there is an error.
func Check(snap *state.Snapshot, rules Rules, job *structs.Job, namespace string) (*structs.Job, []string, error) {
	if structs.Value(job.Namespace) == "" && namespace != "" {
		job.Namespace = &namespace
	}
	if of := structs.Value(job.Region); of == "" || of == structs.DefaultRegion {
		job.Region = &rules.Region
	}
	job.Canonicalize()
	job.ImplyConstraints()
	warnings := job.Warnings()
	faults := append(Faults(job.Validate()), Faults(job.ValidateCount(rules.MaxCount))...)
	if snap.Namespace(job.GetNamespace()) == nil {
		faults = append(faults, "namespace "+quote(job.GetNamespace())+" doesn't exist: create it, or name another")
	}
	if snap.NodePool(job.GetNodePool()) == nil {
		faults = append(faults, "node pool "+quote(job.GetNodePool())+" doesn't exist: create it, or name another")
	}
	if job.GetRegion() != rules.Region {
		faults = append(faults, "the job is for region "+quote(job.GetRegion())+", this is "+quote(rules.Region))
	}
	if len(faults) > 0 {
		return job, warnings, structs.NewValidationError(faults...)
	}
	return job, warnings, nil
}

// NotBuilt refuses jobs with blocks that no node can run yet.
func NotBuilt(job *structs.Job) error {
	if blocks := unbuilt(job); len(blocks) > 0 {
		return structs.NotBuilt(strings.Join(blocks, ", "))
	}
	return nil
}

// Faults are the single faults of an error.
func Faults(err error) []string {
	var invalid *structs.ValidationError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &invalid):
		return invalid.Messages()
	}
	return []string{err.Error()}
}

func quote(s string) string { return `"` + s + `"` }
