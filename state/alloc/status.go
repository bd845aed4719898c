package alloc

import (
	"slices"

	"github.com/steppe-run/steppe/structs"
)

// Client is what the client says of an allocation.
type Client uint8

// The client statuses, in the order of their names in clientNames.
const (
	Pending Client = iota
	Running
	Complete
	Failed
	Lost
	Unknown
)

var clientNames = []string{
	structs.AllocClientPending, structs.AllocClientRunning, structs.AllocClientComplete,
	structs.AllocClientFailed, structs.AllocClientLost, structs.AllocClientUnknown,
}

// ParseClient returns the client status of that name.
func ParseClient(name string) (Client, bool) {
	i := slices.Index(clientNames, name)
	return Client(max(i, 0)), i >= 0
}

// String returns the status as the API names it.
func (c Client) String() string { return clientNames[c] }

// Terminal reports whether the tasks have ended for good.
func (c Client) Terminal() bool { return c == Complete || c == Failed || c == Lost }

// Desired is what the servers want of an allocation.
type Desired uint8

// The desired statuses, in the order of their names in desiredNames.
const (
	Run Desired = iota
	Stop
	Evict
)

var desiredNames = []string{structs.AllocDesiredRun, structs.AllocDesiredStop, structs.AllocDesiredEvict}

// ParseDesired returns the desired status of that name.
func ParseDesired(name string) (Desired, bool) {
	i := slices.Index(desiredNames, name)
	return Desired(max(i, 0)), i >= 0
}

// String returns the status as the API names it.
func (d Desired) String() string { return desiredNames[d] }
