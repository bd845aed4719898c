package tables

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// Size is how much of one kind a persisted state holds.
type Size struct {
	Kind  string
	Count int
	Bytes int64
}

func sectionName(kind byte) string {
	names := map[byte]string{
		sectionMeta: "Index", sectionJobs: "Job", sectionSubmissions: "JobSubmission", sectionSummaries: "JobSummary",
		sectionScaling: "ScalingEvent", sectionNodes: "Node", sectionEvals: "Evaluation", sectionDeployments: "Deployment",
		sectionServices: "ServiceRegistration", sectionAllocs: "AllocationBatch", sectionPools: "NodePool",
		sectionNamespaces: "Namespace", sectionScheduler: "SchedulerConfiguration", sectionLaunches: "PeriodicLaunch",
	}
	if name := names[kind]; name != "" {
		return name
	}
	return fmt.Sprintf("kind %d", kind)
}

// Measure reads what Persist wrote and tells what is in it, checking no more than
// its sums.
func Measure(r io.Reader) ([]Size, error) {
	in := &sectionReader{r: bufio.NewReaderSize(r, 1<<16)}
	if err := in.magic(); err != nil {
		return nil, errors.Join(ErrBadSnapshot, err)
	}
	var out []Size
	for {
		kind, err := in.next()
		if err != nil {
			return nil, errors.Join(ErrBadSnapshot, err)
		}
		size := Size{Kind: sectionName(kind)}
		for {
			record, err := in.record()
			if err != nil {
				return nil, errors.Join(ErrBadSnapshot, err)
			}
			if record == nil {
				break
			}
			size.Count++
			size.Bytes += int64(len(record))
		}
		if kind == sectionEnd {
			return out, nil
		}
		if size.Count > 0 {
			out = append(out, size)
		}
	}
}
