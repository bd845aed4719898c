package nodeapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"sort"
	"strconv"
	"strings"

	"github.com/steppe-run/steppe/client/alloc"
	"github.com/steppe-run/steppe/client/allocdir"
	"github.com/steppe-run/steppe/structs"
)

func (a *api) logs(w http.ResponseWriter, r *http.Request) error {
	runner, err := a.find(r)
	if err != nil {
		return err
	}
	name, kind := r.URL.Query().Get("task"), r.URL.Query().Get("type")
	switch {
	case name == "":
		return bad("must provide task name")
	case kind != "stdout" && kind != "stderr":
		return bad("must provide log type (stdout/stderr)")
	case runner.Task(name) == nil:
		return fail(http.StatusNotFound, "unknown task name %q", name)
	}
	offset, fromEnd, err := where(r)
	if err != nil {
		return err
	}
	follow, err := query(r, "follow", false, strconv.ParseBool)
	if err != nil {
		return err
	}
	asText, err := query(r, "plain", false, strconv.ParseBool)
	if err != nil {
		return err
	}
	source := &logSource{dir: runner.Dir(), prefix: name + "." + kind + "."}
	defer source.close()
	if err := source.seek(offset, fromEnd); err != nil {
		return err
	}
	if source.f == nil && !follow {
		return fail(http.StatusNotFound, "task %q has no %s yet", name, kind)
	}
	var out sink
	if asText {
		out = newPlain(w)
	} else {
		out = newFrames(w)
	}
	return a.pump(r.Context(), source, out, func() bool { return follow && !ended(runner, name) })
}

// ended reports whether a task won't write any more.
func ended(runner *alloc.Runner, name string) bool {
	t := runner.Task(name)
	return t == nil || t.State().State == structs.TaskStateDead
}

// logSource reads the rotated files of one stream of a task as if they were
// one file.
type logSource struct {
	dir    allocdir.Dir
	prefix string

	index  int // of the open file
	f      *os.File
	offset int64
}

// indexes lists the numbers of the files that are there, ascending.
func (s *logSource) indexes() ([]int, map[int]int64, error) {
	infos, err := s.dir.List(path.Join(allocdir.SharedName, allocdir.LogsName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	var out []int
	sizes := map[int]int64{}
	for _, info := range infos {
		rest, ok := strings.CutPrefix(info.Name, s.prefix)
		if !ok || info.IsDir {
			continue
		}
		if n, err := strconv.Atoi(rest); err == nil && n >= 0 {
			out = append(out, n)
			sizes[n] = info.Size
		}
	}
	sort.Ints(out)
	return out, sizes, nil
}

// seek goes to an offset from the start of the oldest file or from the end of
// the newest one.
func (s *logSource) seek(offset int64, fromEnd bool) error {
	indexes, sizes, err := s.indexes()
	if err != nil || len(indexes) == 0 {
		return err
	}
	if fromEnd {
		var total int64
		for _, size := range sizes {
			total += size
		}
		offset = max(total-offset, 0)
	}
	for i, n := range indexes {
		if offset <= sizes[n] || i == len(indexes)-1 {
			return s.open(n, min(offset, sizes[n]))
		}
		offset -= sizes[n]
	}
	return nil
}

func (s *logSource) name(index int) string {
	return path.Join(allocdir.SharedName, allocdir.LogsName, s.prefix+strconv.Itoa(index))
}

func (s *logSource) open(index int, offset int64) error {
	f, err := s.dir.OpenFile(s.name(index))
	if err != nil {
		return err
	}
	s.close()
	s.f, s.index, s.offset = f, index, offset
	return nil
}

func (s *logSource) close() {
	if s.f != nil {
		_ = s.f.Close() // only read
		s.f = nil
	}
}

func (s *logSource) next() (structs.StreamFrame, error) {
	if s.f != nil {
		frame, err := s.read()
		if !errors.Is(err, io.EOF) {
			return frame, err
		}
	}
	moved, err := s.advance()
	if err != nil {
		return structs.StreamFrame{}, err
	}
	if !moved {
		return structs.StreamFrame{}, io.EOF
	}
	return s.read()
}

// advance goes to the next file once there is one. The open file gets a last
// look first: its final lines may be younger than our last read.
func (s *logSource) advance() (bool, error) {
	indexes, _, err := s.indexes()
	if err != nil {
		return false, err
	}
	for _, n := range indexes {
		if s.f != nil && n <= s.index {
			continue
		}
		if s.f != nil {
			info, err := s.f.Stat()
			if err == nil && info.Size() > s.offset {
				return true, nil
			}
		}
		err := s.open(n, 0)
		if errors.Is(err, os.ErrNotExist) {
			continue // rotated away meanwhile
		}
		return err == nil, err
	}
	return false, nil
}

func (s *logSource) read() (structs.StreamFrame, error) {
	buffer := make([]byte, frameSize)
	n, err := s.f.ReadAt(buffer, s.offset)
	if n == 0 {
		if err == nil {
			err = io.EOF
		}
		if !errors.Is(err, io.EOF) {
			err = fmt.Errorf("read log: %w", err)
		}
		return structs.StreamFrame{}, err
	}
	frame := structs.StreamFrame{Offset: s.offset, Data: buffer[:n], File: path.Base(s.name(s.index))}
	s.offset += int64(n)
	return frame, nil
}
