package server

import (
	"errors"

	"github.com/steppe-run/steppe/structs"
)

// admit makes a job ready to be stored: defaults, implied constraints, and
// everything checked. It returns a copy.
func (s *Server) admit(job *structs.Job, namespace string) (*structs.Job, []string, error) {
	if job == nil {
		return nil, nil, structs.NewError(structs.KindInvalid, "Job must be specified")
	}
	job, warnings, err := s.check(job, namespace)
	if err != nil {
		return nil, nil, err
	}
	if err := notBuilt(job); err != nil {
		return nil, nil, err
	}
	return job, warnings, nil
}

// check is admit without asking whether the job's kind is built yet. The job
// that it returns is canonical even if there is an error.
func (s *Server) check(job *structs.Job, namespace string) (*structs.Job, []string, error) {
	job = job.Clone()
	if structs.Value(job.Namespace) == "" && namespace != "" {
		job.Namespace = &namespace
	}
	if region := structs.Value(job.Region); region == "" || region == structs.DefaultRegion {
		job.Region = &s.cfg.Region
	}
	job.Canonicalize()
	job.ImplyConstraints()
	warnings := job.Warnings()
	faults := messages(job.Validate())
	snap := s.store.Snapshot()
	if snap.Namespace(job.GetNamespace()) == nil {
		faults = append(faults, "namespace "+quote(job.GetNamespace())+" doesn't exist: create it, or name another")
	}
	if snap.NodePool(job.GetNodePool()) == nil {
		faults = append(faults, "node pool "+quote(job.GetNodePool())+" doesn't exist: create it, or name another")
	}
	if job.GetRegion() != s.cfg.Region {
		faults = append(faults, "the job is for region "+quote(job.GetRegion())+", this is "+quote(s.cfg.Region))
	}
	if len(faults) > 0 {
		return job, warnings, structs.NewValidationError(faults...)
	}
	return job, warnings, nil
}

// notBuilt refuses jobs of a kind that nothing schedules yet.
func notBuilt(job *structs.Job) error {
	switch {
	case job.GetType() == structs.JobTypeSystem || job.GetType() == structs.JobTypeSysBatch:
		return structs.NotBuilt(job.GetType() + " jobs")
	case job.IsPeriodic():
		return structs.NotBuilt("periodic jobs")
	case job.IsParameterized():
		return structs.NotBuilt("parameterized jobs")
	}
	return nil
}

// messages are the single faults of an error.
func messages(err error) []string {
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
