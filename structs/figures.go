package structs

// ServerFigures is what a server says of itself: what its process takes, what
// its log took since it started, what its state holds, and what its rooms count.
type ServerFigures struct {
	Process ProcessFigures
	// Log counts the entries applied since the server started, by what wrote
	// them.
	Log LogFigures
	// Allocations counts those that the state holds, finished ones included.
	Allocations int
	// Rooms are the counters and gauges of the leader, named room.thing; empty
	// on the other servers.
	Rooms map[string]int64
}

// ProcessFigures is what a process takes of its machine.
type ProcessFigures struct {
	// CPUNanos is the processor time since the start, user and system.
	CPUNanos int64
	// ResidentBytes is the memory of the machine that the process occupies.
	ResidentBytes int64
	// HeapBytes is what the last collection of garbage found in use.
	HeapBytes int64
}

// LogFigures counts the log's entries by what wrote them.
type LogFigures struct {
	// Placements are what the scheduler decided, with its evaluations.
	Placements LogShare
	// Status is what nodes reported about allocations.
	Status LogShare
	// Other is everything else: jobs, nodes, settings.
	Other LogShare
}

// LogShare is a part of the log.
type LogShare struct {
	Entries, Bytes int64
}
