//go:build !linux

package allocdir

// mountTmpfs leaves the plain directory, which its owner alone can read.
func mountTmpfs(string, int) error { return nil }

// unmountBelow has nothing to do where nothing is mounted.
func unmountBelow(string) error { return nil }
