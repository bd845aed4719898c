package structs

import "time"

// BrakeStatus tells of the brake on the loss of nodes: should many of them fall
// silent at once, nothing is moved away from them before a person says so, they
// return, or a time has passed.
type BrakeStatus struct {
	// Summary says all of it in words.
	Summary string
	// Nodes are those that are not down.
	Nodes int
	// Percent of them may be lost at once, where there are MinNodes or more; Hold is
	// for how long more of them are held back, 0 for ever.
	Percent, MinNodes int
	Hold              time.Duration
	// Since when nodes are held back, and Until when; null if none are, or for ever.
	Since, Until *time.Time
	Held         []*BrakeNode
}

// BrakeNode is a silent node whose loss is held back.
type BrakeNode struct {
	ID, Name, Datacenter, NodePool string
	SilentSince                    time.Time
}

// BrakeReleaseResponse lists the nodes that were given up.
type BrakeReleaseResponse struct {
	NodeIDs []string
}
