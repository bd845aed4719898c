//go:build failpoints

package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// seen counts how often this process came by the point that it is told of.
var seen atomic.Int64

// Here kills this process if it is told to die at this point and the mark isn't
// there yet. `POINT#3` lets it come by twice before.
func Here(p Point) {
	name, nth, _ := strings.Cut(os.Getenv(PointEnv), "#")
	if name != string(p) {
		return
	}
	if n, _ := strconv.ParseInt(nth, 10, 64); seen.Add(1) < n {
		return
	}
	f, err := os.OpenFile(os.Getenv(MarkEnv), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return // somebody has died here already
	}
	_ = f.Close()
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal ends every thread, this one included
}

// Environ is what a process that isn't given our environment needs to do so too.
func Environ() []string {
	return []string{PointEnv + "=" + os.Getenv(PointEnv), MarkEnv + "=" + os.Getenv(MarkEnv)}
}
