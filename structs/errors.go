package structs

import (
	"fmt"
	"strconv"
	"strings"
)

// ErrorKind says what sort of refusal an Error is, so that the edge can choose
// how to answer without reading texts.
type ErrorKind int

// The kinds of refusal.
const (
	// KindRefused is a well-formed request that the state of the cluster
	// doesn't allow.
	KindRefused ErrorKind = iota
	// KindInvalid is a request that is wrong by itself.
	KindInvalid
	// KindNotFound names something that doesn't exist.
	KindNotFound
	// KindForbidden is switched off by an operator or not permitted.
	KindForbidden
	// KindNotBuilt asks for something that Steppe doesn't do yet.
	KindNotBuilt
	// KindNoLeader can't be answered until there is a leader.
	KindNoLeader
	// KindNotLeader must be asked of the leader.
	KindNotLeader
	// KindUnavailable can be tried again later.
	KindUnavailable
)

// Error is a refusal of known kind. Its text is part of the interface: tools
// match on it.
type Error struct {
	Kind ErrorKind
	Text string
}

// Error implements error.
func (e *Error) Error() string { return e.Text }

// NewError makes a refusal of a kind.
func NewError(kind ErrorKind, format string, args ...any) *Error {
	return &Error{Kind: kind, Text: fmt.Sprintf(format, args...)}
}

// The refusals that callers compare with errors.Is.
var (
	ErrNoLeader            = &Error{KindNoLeader, "No cluster leader"}
	ErrNotLeader           = &Error{KindNotLeader, "this server is not the leader"}
	ErrJobNotFound         = &Error{KindNotFound, "job not found"}
	ErrJobVersionsNotFound = &Error{KindNotFound, "job versions not found"}
	ErrAllocNotFound       = &Error{KindNotFound, "alloc not found"}
	ErrEvalNotFound        = &Error{KindNotFound, "eval not found"}
	ErrNodeNotFound        = &Error{KindNotFound, "node not found"}
	ErrDeploymentNotFound  = &Error{KindNotFound, "deployment not found"}
	ErrNodePoolNotFound    = &Error{KindNotFound, "node pool not found"}
	ErrNamespaceNotFound   = &Error{KindNotFound, "Namespace not found"}
	ErrServiceNotFound     = &Error{KindNotFound, "service registration not found"}

	ErrDeploymentTerminalFail    = &Error{KindRefused, "can't fail terminal deployment"}
	ErrDeploymentTerminalPause   = &Error{KindRefused, "can't pause terminal deployment"}
	ErrDeploymentTerminalResume  = &Error{KindRefused, "can't resume terminal deployment"}
	ErrDeploymentTerminalPromote = &Error{KindRefused, "can't promote terminal deployment"}
	ErrDeploymentTerminalHealth  = &Error{KindRefused, "can't set allocation health of terminal deployment"}
	ErrRegistrationDisabled      = &Error{KindForbidden, "job registration is switched off in the scheduler configuration: an operator can switch it on again"}
)

// EnforceIndexError refuses a registration whose expected modify index is not
// the job's.
type EnforceIndexError struct {
	// Want is the index the caller expects; zero expects that no job exists.
	Want uint64
	// Have is the job's index; zero if there is no job.
	Have uint64
}

// Error implements error with the words that tools match on.
func (e *EnforceIndexError) Error() string {
	const prefix = "Enforcing job modify index"
	switch {
	case e.Want == 0:
		return fmt.Sprintf("%s %d: job already exists", prefix, e.Want)
	case e.Have == 0:
		return fmt.Sprintf("%s %d: job does not exist", prefix, e.Want)
	}
	return fmt.Sprintf("%s %d: job exists with conflicting job modify index: %d", prefix, e.Want, e.Have)
}

// NotBuilt is the answer to a request for something that doesn't exist yet:
// feature is a noun phrase, in the plural.
func NotBuilt(feature string) *Error {
	return NewError(KindNotBuilt, "%s are not built yet in this version of Steppe", feature)
}

// VersionNotFound says that a version of a job isn't there, and which are.
func VersionNotFound(jobID string, version uint64, kept []*Job) *Error {
	text := fmt.Sprintf("job %q at version %d not found", jobID, version)
	numbers := make([]string, len(kept))
	for i, j := range kept {
		numbers[i] = strconv.FormatUint(j.GetVersion(), 10)
	}
	switch last := len(numbers) - 1; {
	case last == 0:
		text += fmt.Sprintf(": only version %s is kept", numbers[0])
	case last > 0:
		text += fmt.Sprintf(": versions %s and %s are kept", strings.Join(numbers[:last], ", "), numbers[last])
	}
	return NewError(KindNotFound, "%s", text)
}
