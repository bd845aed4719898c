//go:build !failpoints

package failpoint

// Here is nothing.
func Here(Point) {}

// Environ is what a process that isn't given our environment needs: nothing.
func Environ() []string { return nil }
