package structs

// The explanations of /v1/steppe: what the scheduler thinks of the nodes, as
// values. Every Summary is one sentence for people.

// JobWhy says why a job is placed as it is.
type JobWhy struct {
	JobID     string
	Namespace string
	Version   uint64
	// Status is the job's: pending, running or dead.
	Status  string
	Summary string
	Groups  []*GroupWhy
}

// GroupWhy says why a group of a job is placed as it is.
type GroupWhy struct {
	Group   string
	Summary string
	// Desired is the group's count.
	Desired int
	// Placed is how many allocations are wanted and have not ended.
	Placed int
	// Complete is how many allocations of a batch job have done their work.
	Complete int
	// WouldPlace is how many an evaluation would place now.
	WouldPlace int
	// Unplaceable is how many an evaluation would find no node for now.
	Unplaceable int
	// Placements are the allocations that are placed.
	Placements []*PlacementWhy
	// Next is what all nodes are worth for one more allocation of the group.
	Next *NodeSurvey
}

// PlacementWhy is an allocation on its node with the score that brought it
// there.
type PlacementWhy struct {
	AllocID  string
	Name     string
	NodeID   string
	NodeName string
	Version  uint64
	// Score is what the node scored then; it is absent if the allocation's
	// explanation doesn't hold it.
	Score *NodeScore
}

// NodeSurvey is what all nodes are worth for one more allocation of a group.
// Counts are true counts over all nodes; a node is counted once, for the first
// thing that it lacks.
type NodeSurvey struct {
	// Nodes is how many nodes there are.
	Nodes int
	// NotReady is how many of them are down, disconnected or initializing.
	NotReady int
	// Ineligible is how many of the others are closed for placements or drain.
	Ineligible int
	// OtherPool is how many of the others are not in the job's node pool.
	OtherPool int
	// OtherDatacenter is how many of the others are in none of the job's
	// datacenters.
	OtherDatacenter int
	// Evaluated is how many are left, and looked at one by one.
	Evaluated int
	// Filtered is how many of those don't satisfy a condition, by condition
	// in FilteredBy.
	Filtered   int
	FilteredBy []*FilterCount
	// Contradiction names conditions that no node satisfies together, and of which
	// none can be left out, if no node satisfies all that are asked for.
	Contradiction []string `json:",omitempty"`
	// Exhausted is how many satisfy all conditions and have no room, by
	// dimension in ExhaustedBy.
	Exhausted   int
	ExhaustedBy []*ExhaustCount
	// Preempting is how many of the exhausted nodes have room once allocations of
	// jobs of lower priority go. It is 0 where the scheduler configuration lets
	// no job of the type preempt.
	Preempting int
	// Fitting is how many could take the allocation.
	Fitting int
	// Best are the best of those, best first.
	Best []*NodeScore
}

// FilterCount is how many nodes a condition filters out.
type FilterCount struct {
	Reason string
	Nodes  int
}

// ExhaustCount is how many nodes have no room in a dimension.
type ExhaustCount struct {
	Dimension string
	Nodes     int
	// Missing is how much the node that comes nearest lacks, in Unit. It is 0
	// for a dimension that has no amount, such as a port.
	Missing int64
	Unit    string
	// Nearest is that node's id, NearestName its name; for a port, those of one of
	// the nodes.
	Nearest     string
	NearestName string
	// Held says, for a port, who has it there.
	Held *PortCollision
}

// NodeScore is a node's score with its parts.
type NodeScore struct {
	NodeID   string
	NodeName string
	// Score is the mean of the parts.
	Score float64
	// Parts are the score's parts by name, those only that took part in the mean.
	Parts map[string]float64
	// Busy is set if so many allocations are being started on the node that it
	// is taken only after those that are not busy.
	Busy bool
}

// NodeWhyNot says what keeps a job's groups off a node, or how well they fit.
type NodeWhyNot struct {
	NodeID    string
	NodeName  string
	JobID     string
	Namespace string
	Summary   string
	Groups    []*GroupOnNode
}

// GroupOnNode says whether one more allocation of a group fits a node.
type GroupOnNode struct {
	Group   string
	Summary string
	Fits    bool
	// Running are the group's allocations that are on the node already.
	Running []string
	// Conditions are all conditions that the node doesn't satisfy.
	Conditions []*FailedCondition
	// Shortages are all dimensions in which the node has no room.
	Shortages []*Shortage
	// Ports are the host ports that can't be had.
	Ports []*PortCollision
	// Preempts are the allocations that would have to go so that the group fits,
	// if the scheduler configuration allows that and they are enough.
	Preempts []*PreemptedAlloc
	// Score is the node's score, if it fits.
	Score *NodeScore
	// Rank is the node's place among those that fit, 1 being the best; 0 if
	// it doesn't fit.
	Rank int
	// Fitting is how many nodes fit.
	Fitting int
	// Best is the best node, if one fits.
	Best *NodeScore
}

// PreemptedAlloc is an allocation that would have to go for one of a job of
// higher priority.
type PreemptedAlloc struct {
	AllocID   string
	Name      string
	Namespace string
	JobID     string
	Priority  int
}

// FailedCondition is a condition on nodes with what was found instead.
type FailedCondition struct {
	// Condition is what people read, such as ${attr.kernel.name} = linux.
	Condition string
	Wanted    string
	Actual    string
}

// Shortage is a dimension in which a node has no room.
type Shortage struct {
	Dimension string
	// Needed, Free and Total are in Unit.
	Needed int64
	Free   int64
	Total  int64
	Unit   string
}

// PortCollision is a host port that can't be had, and who has it.
type PortCollision struct {
	Label string
	Port  int
	// HostNetwork and HostIP are where the port is wanted.
	HostNetwork string
	HostIP      string
	// NoHostNetwork is set if the node doesn't have the host network.
	NoHostNetwork bool
	// Reserved is set if the node's operator keeps the port.
	Reserved bool
	// AllocID, AllocName and JobID name the allocation that has it.
	AllocID   string
	AllocName string
	JobID     string
}

// AllocWhy says why an allocation is on its node.
type AllocWhy struct {
	AllocID   string
	Name      string
	Namespace string
	JobID     string
	Version   uint64
	Group     string
	NodeID    string
	NodeName  string
	Summary   string
	// Then is what was known when the allocation was placed, if it was kept.
	Then *PlacementThen
	// Now is what would be chosen if it were placed anew; nil if the
	// allocation has ended.
	Now *PlacementNow
}

// PlacementThen is the explanation that was stored with an allocation.
type PlacementThen struct {
	// Time is when the allocation was made, in nanoseconds since 1970.
	Time      int64
	Evaluated int
	Filtered  int
	// FilteredBy counts the nodes that each condition filtered out.
	FilteredBy []*FilterCount
	Exhausted  int
	// Scores are the best nodes of that time, best first.
	Scores []*NodeScore
	// Rank is the node's place among Scores, 0 if it isn't there.
	Rank int
}

// PlacementNow is what an allocation's node and the others are worth for it
// now, its own room counted as free.
type PlacementNow struct {
	// Fits is set if its node could still take it; if not, Conditions and
	// Shortages say why.
	Fits       bool
	Conditions []*FailedCondition
	Shortages  []*Shortage
	Ports      []*PortCollision
	// Score is its node's score now, and Rank its place among those that fit.
	Score  *NodeScore
	Rank   int
	Survey *NodeSurvey
}

// CapacityRequest asks how many more of a job's allocations fit.
type CapacityRequest struct {
	Job *Job
	WriteRequest
}

// CapacityReport says how many more of a job's allocations fit. Nothing is
// stored.
type CapacityReport struct {
	JobID     string
	Namespace string
	Summary   string
	// Fits is set if the job fits as it is written, all groups together, without
	// preempting others.
	Fits bool
	// Groups are counted one by one, each as if the others weren't there.
	Groups []*GroupCapacity
	// Warnings are those of the job's validation.
	Warnings string
}

// GroupCapacity is how many more allocations of one group fit.
type GroupCapacity struct {
	Group   string
	Summary string
	// Wanted is the group's count.
	Wanted int
	// Placed is how many of them are placed already.
	Placed int
	// Count is how many more fit.
	Count int
	// AtLeast is set if counting ended before the nodes were full.
	AtLeast bool
	// NodesUsed is how many nodes they would be on.
	NodesUsed int
	// Preempting is how many fit beyond Count once allocations of jobs of lower
	// priority go, where the scheduler configuration allows that.
	Preempting *PreemptCapacity `json:",omitempty"`
	// Binds is what keeps the next one off, the first entry on most nodes.
	Binds []*BindCount
	// ByPool, ByDatacenter and ByClass say where the Count would be.
	ByPool       map[string]int
	ByDatacenter map[string]int
	ByClass      map[string]int
	// Next is what all nodes are worth once Count are placed.
	Next *NodeSurvey
}

// PreemptCapacity is how many more allocations of a group fit by preemption.
type PreemptCapacity struct {
	// Count is how many fit beyond those that fit anyway.
	Count int
	// AtLeast is set if counting ended before there was no more to preempt.
	AtLeast bool
	// NodesUsed is how many nodes they would be on.
	NodesUsed int
	// Preempted is how many allocations would have to go.
	Preempted int
}

// BindCount is a dimension or a condition that keeps a further allocation off
// nodes that took some, or could have.
type BindCount struct {
	Reason string
	Nodes  int
}

// PlannedPlacement is what a plan would start on one node.
type PlannedPlacement struct {
	Group    string
	NodeID   string
	NodeName string
	Count    int
	// Canaries is how many of them are canaries.
	Canaries int
	// Names are the names of the allocations.
	Names []string
	// Preempts are the allocations of other jobs that make room for them.
	Preempts []string `json:",omitempty"`
	// Score is the node's score for the first of them, if it is known.
	Score *NodeScore
	// LowestScore and HighestScore are the worst and the best score that the node
	// has for one of them; each changes what the node is worth for the next.
	LowestScore  float64
	HighestScore float64
}

// PlannedStop is an allocation that a plan would end.
type PlannedStop struct {
	AllocID     string
	Name        string
	JobID       string
	Group       string
	NodeID      string
	NodeName    string
	Description string
	// Replaced is set if the plan starts another one in its place.
	Replaced bool
	// Preempted is set if it makes room for a more important job.
	Preempted bool
}

// PlannedUpdate is an allocation that a plan would move to the new version
// where it runs.
type PlannedUpdate struct {
	AllocID  string
	Name     string
	Group    string
	NodeID   string
	NodeName string
}

// PlanOutcome says what a plan would do, by node and allocation.
type PlanOutcome struct {
	Placements []*PlannedPlacement
	Stops      []*PlannedStop
	Updates    []*PlannedUpdate
}
