package nodeapi

import (
	"errors"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/steppe-run/steppe/client/task"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/structs"
)

func (a *api) checks(w http.ResponseWriter, r *http.Request) error {
	runner, err := a.find(r)
	if err != nil {
		return err
	}
	return answer(w, a.Checks(runner.ID()))
}

func (a *api) restart(w http.ResponseWriter, r *http.Request) error {
	if err := writes(r); err != nil {
		return err
	}
	runner, err := a.find(r)
	if err != nil {
		return err
	}
	var req structs.AllocationRestartRequest
	if err := read(w, r, &req); err != nil {
		return err
	}
	if req.AllTasks && req.TaskName != "" {
		return bad("name a task or ask for all tasks, not both")
	}
	const reason = "Restart requested by a user"
	act := func() error { return runner.Restart(req.TaskName, reason) }
	if req.AllTasks {
		act = func() error { return runner.RestartAll(reason) }
	}
	if err := act(); err != nil {
		return refused(err)
	}
	return answer(w, structs.GenericResponse{})
}

func (a *api) signal(w http.ResponseWriter, r *http.Request) error {
	if err := writes(r); err != nil {
		return err
	}
	runner, err := a.find(r)
	if err != nil {
		return err
	}
	var req structs.AllocSignalRequest
	if err := read(w, r, &req); err != nil {
		return err
	}
	if req.Signal == "" {
		return bad("must provide a signal")
	}
	if err := runner.Signal(r.Context(), req.Task, req.Signal); err != nil {
		return refused(err)
	}
	return answer(w, structs.GenericResponse{})
}

// refused tells a wish that the tasks' state doesn't allow as a bad request.
func refused(err error) error {
	if errors.Is(err, task.ErrNotRunning) {
		return &failure{http.StatusBadRequest, err}
	}
	return err
}

func (a *api) collectOne(_ http.ResponseWriter, r *http.Request) error {
	runner, err := a.find(r)
	if err != nil {
		return err
	}
	if !runner.Finished() {
		return bad("allocation %q is still running: stop it first", runner.ID())
	}
	return a.Node.CollectOne(runner.ID())
}

// snapshot sends the ephemeral disk of an allocation that has ended to the node
// that replaces it; the servers have made sure that it is the one who asks.
func (a *api) snapshot(w http.ResponseWriter, r *http.Request) error {
	runner, err := a.find(r)
	if err != nil {
		return err
	}
	if !runner.Finished() {
		return bad("allocation %q is still running: its disk can't be moved yet", runner.ID())
	}
	w.Header().Set("Content-Type", "application/x-tar")
	if err := runner.Dir().Pack(w, runner.TaskNames()); err != nil {
		a.Logger.Warn("an ephemeral disk could not be sent", logx.KeyAlloc, runner.ID(), logx.KeyError, err)
		panic(http.ErrAbortHandler) // whoever reads must not take a part for the whole
	}
	return nil
}

func (a *api) collectAll(http.ResponseWriter, *http.Request) error {
	a.Node.CollectAll()
	return nil
}

func (a *api) metadata(w http.ResponseWriter, r *http.Request) error {
	switch r.Method {
	case http.MethodGet:
		meta, err := a.Node.Metadata()
		if err != nil {
			return err
		}
		return answer(w, meta)
	case http.MethodPost:
		var req structs.NodeMetaApplyRequest
		if err := read(w, r, &req); err != nil {
			return err
		}
		if len(req.Meta) == 0 {
			return bad("missing required Meta object")
		}
		if err := checkMeta(req.Meta); err != nil {
			return err
		}
		meta, err := a.Node.ApplyMetadata(req.Meta)
		if err != nil {
			return err
		}
		return answer(w, meta)
	}
	return fail(http.StatusMethodNotAllowed, "Invalid method")
}

const (
	// maxMeta, maxMetaKey and maxMetaValue bound what may be set at once, and
	// how long it may be.
	maxMeta, maxMetaKey, maxMetaValue = 512, 128, 4 << 10
)

// checkMeta refuses keys that nothing could ask for, and what is too much.
func checkMeta(meta map[string]*string) error {
	if len(meta) > maxMeta {
		return bad("%d keys are too many at once: set no more than %d", len(meta), maxMeta)
	}
	for key, value := range meta {
		odd := strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r == '{' || r == '}' || r == '$' || unicode.IsControl(r) })
		if key == "" || len(key) > maxMetaKey || odd || !utf8.ValidString(key) {
			return bad("invalid metadata key %q: it has 1 to %d characters without spaces and $ { }", key, maxMetaKey)
		}
		if value != nil && (len(*value) > maxMetaValue || !utf8.ValidString(*value)) {
			return bad("the value of metadata key %q is no text of at most %d bytes", key, maxMetaValue)
		}
	}
	return nil
}

// writes refuses requests that only read: what they ask for acts.
func writes(r *http.Request) error {
	if r.Method != http.MethodPut && r.Method != http.MethodPost {
		return fail(http.StatusMethodNotAllowed, "Invalid method")
	}
	return nil
}
