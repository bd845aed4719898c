package replica

import "fmt"

// DamageError means that something on disk is not what was written. The server
// refuses to start: it could serve wrong data or forget what it acknowledged.
type DamageError struct{ Path, What string }

// Error says what to do.
func (e *DamageError) Error() string {
	return fmt.Sprintf("%s is damaged: %s. This copy of the cluster's state can't be trusted. "+
		"If other servers of the region are running, move the server's raft directory away and start again: it will copy the state from them. "+
		"If this is the only server, restore a snapshot or a backup of that directory", e.Path, e.What)
}
