package structs

import "time"

// DrainSpec is what a user asks of a drain. A deadline < 0 forces, 0 is none.
type DrainSpec struct {
	Deadline         time.Duration
	IgnoreSystemJobs bool
}

// DrainStrategy is a drain under way.
type DrainStrategy struct {
	DrainSpec
	ForceDeadline time.Time
	StartedAt     time.Time
}

// Forced reports whether a drain takes everything at once: it was asked to, or its
// deadline is over. No drain takes nothing.
func (s *DrainStrategy) Forced(now time.Time) bool {
	return s != nil && (s.Deadline < 0 || !s.ForceDeadline.IsZero() && !s.ForceDeadline.After(now))
}

// DrainMetadata tells of a node's last drain.
type DrainMetadata struct {
	StartedAt  time.Time
	UpdatedAt  time.Time
	Status     string
	AccessorID string
	Meta       map[string]string
}
