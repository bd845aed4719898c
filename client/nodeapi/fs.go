package nodeapi

import (
	"io"
	"net/http"
	"strconv"
)

func (a *api) list(w http.ResponseWriter, r *http.Request) error {
	runner, err := a.find(r)
	if err != nil {
		return err
	}
	path := r.URL.Query().Get("path")
	if path == "" {
		path = "/"
	}
	infos, err := runner.Dir().List(path)
	if err != nil {
		return err
	}
	return answer(w, infos)
}

// file finds the allocation and the path that a request names.
func (a *api) file(r *http.Request) (dir opener, path string, err error) {
	runner, err := a.find(r)
	if err != nil {
		return nil, "", err
	}
	if path = r.URL.Query().Get("path"); path == "" {
		return nil, "", bad("must provide a file name")
	}
	return runner.Dir(), path, nil
}

func (a *api) stat(w http.ResponseWriter, r *http.Request) error {
	runner, err := a.find(r)
	if err != nil {
		return err
	}
	path := r.URL.Query().Get("path")
	if path == "" {
		return bad("must provide a file name")
	}
	info, err := runner.Dir().Stat(path)
	if err != nil {
		return err
	}
	return answer(w, info)
}

func (a *api) cat(w http.ResponseWriter, r *http.Request) error {
	dir, path, err := a.file(r)
	if err != nil {
		return err
	}
	f, err := dir.OpenFile(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	asBytes(w)
	_, err = io.Copy(w, f)
	return err
}

func (a *api) readAt(w http.ResponseWriter, r *http.Request) error {
	dir, path, err := a.file(r)
	if err != nil {
		return err
	}
	if r.URL.Query().Get("offset") == "" {
		return bad("must provide an offset")
	}
	offset, err := query(r, "offset", 0, parseInt)
	if err != nil {
		return err
	}
	limit, err := query(r, "limit", -1, parseInt)
	if err != nil {
		return err
	}
	if offset < 0 {
		return bad("offset may not be negative")
	}
	f, err := dir.OpenFile(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	asBytes(w)
	var from io.Reader = f
	if limit >= 0 {
		from = io.LimitReader(f, limit)
	}
	_, err = io.Copy(w, from)
	return err
}

// asBytes keeps browsers from taking a task's file for a page of ours.
func asBytes(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Disposition", "attachment")
}

// where reads origin and offset.
func where(r *http.Request) (offset int64, fromEnd bool, err error) {
	if offset, err = query(r, "offset", 0, parseInt); err != nil {
		return 0, false, err
	}
	switch r.URL.Query().Get("origin") {
	case "", "start":
	case "end":
		fromEnd = true
	default:
		return 0, false, bad("origin must be start or end")
	}
	return max(offset, 0), fromEnd, nil
}

func (a *api) stream(w http.ResponseWriter, r *http.Request) error {
	dir, path, err := a.file(r)
	if err != nil {
		return err
	}
	offset, fromEnd, err := where(r)
	if err != nil {
		return err
	}
	follow, err := query(r, "follow", true, strconv.ParseBool)
	if err != nil {
		return err
	}
	source := &fileSource{dir: dir, path: path}
	if err := source.open(offset, fromEnd); err != nil {
		return err
	}
	defer source.close()
	out := newFrames(w)
	return a.pump(r.Context(), source, out, func() bool { return follow })
}
