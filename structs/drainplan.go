package structs

import "time"

// What becomes of an allocation when its node is drained.
const (
	// DrainMoves: another one takes its place on another node.
	DrainMoves = "moves"
	// DrainUnplaceable: it stops, and no node has room for another in its place.
	DrainUnplaceable = "unplaceable"
	// DrainStops: it stops, and nothing is to take its place.
	DrainStops = "stops"
	// DrainStays: it isn't touched; the drain may end around it, or wait for it.
	DrainStays = "stays"
)

// When that happens.
const (
	// DrainRound: in a round, as migrate.max_parallel allows.
	DrainRound = "round"
	// DrainAtOnce: as soon as the drain begins.
	DrainAtOnce = "at once"
	// DrainDeadline: when the deadline passes, if it has not ended before.
	DrainDeadline = "deadline"
	// DrainLast: once everything else has left.
	DrainLast = "last"
	// DrainItself: when its tasks end; the drain waits for it.
	DrainItself = "when it ends"
	// DrainNever: it isn't to leave.
	DrainNever = "never"
)

// DrainPlan says what draining a node would do. Nothing is stored.
type DrainPlan struct {
	NodeID   string
	NodeName string
	Summary  string
	// Fits is set if everything that the drain moves finds room on other nodes, and
	// the drain comes to its end.
	Fits bool
	// Draining is set if the node drains already: the plan is of what is left to do.
	Draining bool
	// Deadline is how long what is there may take, in nanoseconds; negative: all
	// moves at once, 0: there is none.
	Deadline         time.Duration
	IgnoreSystemJobs bool
	// Moves, Unplaceable, Stops and Stays count the allocations by outcome.
	Moves       int
	Unplaceable int
	Stops       int
	Stays       int
	// Rounds is how many rounds the group with the most takes, and Takes what they
	// take at least, by migrate.min_healthy_time, in nanoseconds.
	Rounds int
	Takes  time.Duration
	// Preempted are allocations of jobs of lower priority that would go.
	Preempted []*PreemptedAlloc
	Groups    []*DrainedGroup
}

// DrainedGroup is what draining a node would do to the allocations of one group
// that are on it.
type DrainedGroup struct {
	JobID     string
	Namespace string
	JobType   string
	Priority  int
	Group     string
	Summary   string
	// MaxParallel is how many of the group move at a time.
	MaxParallel int
	// Rounds is in how many steps, one after the other, they move; Takes is
	// what that takes at least, in nanoseconds.
	Rounds int
	Takes  time.Duration
	// Moves, Unplaceable, Stops and Stays count the allocations by outcome.
	Moves       int
	Unplaceable int
	Stops       int
	Stays       int
	Allocs      []*DrainedAlloc
	// Next is what all nodes were worth for the first that found none.
	Next *NodeSurvey `json:",omitempty"`
}

// DrainedAlloc is what draining a node would do to one allocation.
type DrainedAlloc struct {
	AllocID string
	Name    string
	// Outcome is moves, unplaceable, stops or stays.
	Outcome string
	// When is round (its number is in Round), at once, deadline, last, when it ends
	// or never.
	When  string
	Round int
	// AfterReplacement is set if it is the last healthy one of its group: it leaves
	// only once its replacement, which runs beside it, is healthy, or at the deadline.
	AfterReplacement bool
	// NodeID and NodeName are where it moves.
	NodeID   string
	NodeName string
	// Reason says why it doesn't move.
	Reason string
}
