package structs

import "time"

type DrainSpec struct {
	Deadline         time.Duration
	IgnoreSystemJobs bool
}

type DrainStrategy struct {
	DrainSpec
	ForceDeadline time.Time
	StartedAt     time.Time
}

type DrainMetadata struct {
	StartedAt  time.Time
	UpdatedAt  time.Time
	Status     string
	AccessorID string
	Meta       map[string]string
}
