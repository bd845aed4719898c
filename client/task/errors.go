package task

import "errors"

// ErrNotRunning says that a task must run for what was asked.
var ErrNotRunning = errors.New("the task is not running")
