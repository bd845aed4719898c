package structs

// HistoryEntry is one object as it was when it left the state: swept, purged,
// or, of a job, a version that is no longer tracked.
type HistoryEntry struct {
	// Kind is job, evaluation, allocation or deployment.
	Kind      string
	Namespace string
	JobID     string
	// ID is the object's own; of a job it is JobID.
	ID string
	// Version is the job's, of a job or an allocation.
	Version uint64
	// Status is the last one that was known.
	Status string
	// Gone is set on the current version of a job that went as a whole.
	Gone bool
	// RemovedAt is when it left the state, in unix nanoseconds.
	RemovedAt int64
	// Index is the one of the log at which it did, Seq counts what left at the
	// same one. Both are the same on every server.
	Index uint64
	Seq   uint32

	// One of these holds the object, if it was asked for.
	Job        *Job        `json:",omitempty"`
	Evaluation *Evaluation `json:",omitempty"`
	Allocation *Allocation `json:",omitempty"`
	Deployment *Deployment `json:",omitempty"`
}

// The kinds of entries of the history.
const (
	HistoryJob        = "job"
	HistoryEvaluation = "evaluation"
	HistoryAllocation = "allocation"
	HistoryDeployment = "deployment"
)

// HistoryGap is a part of the history that this server misses: what left the
// state after one position of the log, up to another.
type HistoryGap struct {
	AfterIndex uint64
	AfterSeq   uint32
	UpToIndex  uint64
	UpToSeq    uint32
}

// HistoryPage is a part of the history, newest first.
type HistoryPage struct {
	Entries []*HistoryEntry
	// NextToken is where the next page begins, empty on the last one. A page may
	// hold fewer entries than were asked for, even none, and not be the last.
	NextToken string
	// Server is who answered, UpToIndex how far its history goes.
	Server    string
	UpToIndex uint64
	// Gaps is what this server misses of what could have been on the page.
	Gaps []HistoryGap
	// MaxAgeSeconds and MaxBytes are what bounds the history, Bytes what it takes.
	MaxAgeSeconds int64
	MaxBytes      int64
	Bytes         int64
}
