package door

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/steppe-run/steppe/structs"
)

// statusError is a refusal with its HTTP status.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string { return e.text }

// Refuse makes a refusal with its HTTP status and the text that callers read.
func Refuse(status int, format string, args ...any) error {
	return &statusError{status: status, text: fmt.Sprintf(format, args...)}
}

func tooLarge(limit int64) error {
	return Refuse(http.StatusRequestEntityTooLarge, "Request body is larger than the limit of %d bytes", limit)
}

// The refusals that don't depend on the request.
var (
	errMethod    = &statusError{http.StatusMethodNotAllowed, "Invalid method"}
	ErrNotServer = &statusError{http.StatusNotImplemented, "this agent is not a server: ask a server of the region"}
)

// EnterpriseOnly refuses what only the paid edition of the original has.
const EnterpriseOnly = "Nomad Enterprise only endpoint"

// statusClientGone is logged, never seen: the caller hung up.
const statusClientGone = 499

// statusOf chooses the status for an error by its kind, never by its text.
func statusOf(err error) int {
	var coded *statusError
	if errors.As(err, &coded) {
		return coded.status
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return http.StatusRequestEntityTooLarge
	}
	var kind *structs.Error
	if errors.As(err, &kind) {
		return statusOfKind(kind.Kind)
	}
	if errors.Is(err, context.Canceled) {
		return statusClientGone
	}
	return http.StatusInternalServerError
}

func statusOfKind(kind structs.ErrorKind) int {
	switch kind {
	case structs.KindInvalid:
		return http.StatusBadRequest
	case structs.KindNotFound:
		return http.StatusNotFound
	case structs.KindForbidden:
		return http.StatusForbidden
	case structs.KindNotBuilt:
		return http.StatusNotImplemented
	}
	return http.StatusInternalServerError
}
