package jobspec

import _ "embed" // the examples are files, so that they can be read as such

//go:embed examples/short.hcl
var shortExample string

//go:embed examples/full.hcl
var fullExample string

// Example returns a job file to begin with: short, or with comments on what
// else there is.
func Example(short bool) string {
	if short {
		return shortExample
	}
	return fullExample
}
