package drivers

import (
	"errors"
	"fmt"
)

// ErrTaskNotFound is the answer for a task id that a driver doesn't know. Its
// text is part of the protocol.
var ErrTaskNotFound = errors.New("task not found for given id")

// ErrUnsupported is the answer to what a driver's Capabilities don't offer.
var ErrUnsupported = errors.New("not supported by this driver")

// ErrPluginGone says that the process behind a driver ended during a call and
// the call couldn't be repeated.
var ErrPluginGone = errors.New("driver plugin has shut down")

// ErrTaskLost says that a driver plugin was started again and couldn't take a
// task back: whether it still runs is unknown, so destroy and start it anew.
var ErrTaskLost = errors.New("task was lost when its driver plugin was restarted")

// UnknownDriverError says that a node has no driver of that name.
type UnknownDriverError struct{ Name string }

// Error implements error.
func (e *UnknownDriverError) Error() string {
	return fmt.Sprintf("driver %q is unknown on this node: check the task's driver, or install its plugin into plugin_dir and name it in a plugin block", e.Name)
}

// RecoverableError wraps a failure after which trying again may help.
type RecoverableError struct {
	Err         error
	Recoverable bool
}

// Error implements error.
func (e *RecoverableError) Error() string { return e.Err.Error() }

// Unwrap implements errors.Unwrap.
func (e *RecoverableError) Unwrap() error { return e.Err }

// Recoverable marks an error as one after which trying again may help.
func Recoverable(err error) error {
	if err == nil {
		return nil
	}
	return &RecoverableError{Err: err, Recoverable: true}
}

// IsRecoverable reports whether err was marked by Recoverable.
func IsRecoverable(err error) bool {
	var r *RecoverableError
	return errors.As(err, &r) && r.Recoverable
}
