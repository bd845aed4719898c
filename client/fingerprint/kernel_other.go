//go:build !linux

package fingerprint

import (
	"context"
	"runtime"
)

func cgroupFacts(context.Context, Options) (Facts, error)   { return Facts{}, nil }
func numaFacts(context.Context, Options) (Facts, error)     { return Facts{}, nil }
func landlockFacts(context.Context, Options) (Facts, error) { return Facts{}, nil }

func affinity() []uint16 { return cores(runtime.NumCPU()) }
