package scheduler

import (
	"errors"
	"fmt"

	"github.com/steppe-run/steppe/structs"
)

// ErrUnsupportedJobType is returned for evaluations of a type that has no
// scheduler yet.
var ErrUnsupportedJobType = errors.New("no scheduler for this type of job is built yet")

// Schedule decides one evaluation. An error means that the evaluation can't be
// decided at all and that trying again won't help; a job that doesn't fit is
// not an error but a Decision with a blocked follow-up.
func Schedule(in Input) (Decision, error) {
	switch in.Eval.Type {
	case structs.JobTypeService, structs.JobTypeBatch:
	default:
		return Decision{}, fmt.Errorf("schedule evaluation of type %q: %w", in.Eval.Type, ErrUnsupportedJobType)
	}
	return Decision{}, fmt.Errorf("schedule evaluation of type %q: %w", in.Eval.Type, ErrUnsupportedJobType)
}
