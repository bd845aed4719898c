//go:build linux && !embedsupervisor

package supervise

// supervisorImage is empty in a plain build: this program's own `supervisor`
// command then does the same work, with a larger footprint.
var supervisorImage []byte
