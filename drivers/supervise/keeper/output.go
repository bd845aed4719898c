//go:build linux

package keeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/failpoint"
	"github.com/steppe-run/steppe/internal/loop"
)

// drainTime is how long output is still taken after the task and all it
// started are gone: what is left is in the pipes.
const drainTime = time.Second

const (
	// bufferSize is how much of a stream is read at once, at most.
	bufferSize = 256 << 10
	// pipeFull is the size of a pipe as the kernel makes it, pipeWide that of one
	// whose writer was held up.
	pipeFull = 64 << 10
	pipeWide = 1 << 20
)

// output takes what the task prints.
type output struct {
	// stdout and stderr are what the task writes to.
	stdout *os.File
	stderr *os.File
	// readers are our ends, if the output goes through us.
	readers []*os.File
	group   *loop.Group
}

// openOutput makes the task's streams as the spec says.
func openOutput(spec *Spec) (*output, error) {
	o := &output{group: loop.New(context.Background())}
	var err error
	if o.stdout, err = o.stream(spec, "stdout", spec.Logs.Stdout); err != nil {
		return nil, err
	}
	o.stderr, err = o.stream(spec, "stderr", spec.Logs.Stderr)
	return o, err
}

func (o *output) stream(spec *Spec, name, path string) (*os.File, error) {
	if path == "" && spec.Logs.Dir == "" {
		path = os.DevNull
	}
	if path != "" {
		// For reading too, so that opening a FIFO doesn't wait for a reader.
		f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", name, err)
		}
		return f, nil
	}
	w, err := NewRotator(spec.Logs.Dir, spec.Task+"."+name, spec.Logs.MaxFiles, spec.Logs.MaxBytes)
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe for %s: %w", name, err)
	}
	o.readers = append(o.readers, read)
	o.group.Go(name, func(context.Context) error { copyOutput(w, read); return nil })
	return write, nil
}

// copyOutput takes what comes until there is no more. A full disk must not
// stop the task: what can't be written is dropped.
func copyOutput(w *Rotator, r *os.File) {
	buf := make([]byte, bufferSize) // what no read has filled is no memory yet
	for wide := false; ; {
		n, err := r.Read(buf)
		if n > 0 {
			_, _ = w.Write(buf[:n])
		}
		if err != nil {
			_ = w.Close()
			return
		}
		if n >= pipeFull && !wide {
			wide = true
			widen(r)
		}
	}
}

// widen gives a pipe that was found full more room. Most tasks never need it, and
// the kernel bounds how much all pipes of a user may have: nobody else shall go short.
func widen(r *os.File) {
	raw, err := r.SyscallConn()
	if err != nil {
		return
	}
	// A kernel that allows no more leaves it as it is.
	_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeWide) })
}

// started lets go of the ends that belong to the task.
func (o *output) started() {
	_ = o.stdout.Close()
	_ = o.stderr.Close()
}

// finish waits for the rest of the output.
func (o *output) finish(clk clock.Clock) {
	for _, r := range o.readers {
		_ = r.SetReadDeadline(clk.Now().Add(drainTime))
	}
	_ = o.group.Wait() // its functions return nil only
	for _, r := range o.readers {
		_ = r.Close()
	}
}

// Rotator writes one stream into files `<name>.0`, `<name>.1`… of a bounded
// size, and keeps the newest of them. It goes on where an earlier one ended.
// It is for one writer.
type Rotator struct {
	dir      string
	name     string
	maxFiles int
	maxBytes int64
	file     *os.File
	index    int
	size     int64
}

// NewRotator opens the newest file of a stream for appending. Bounds of zero
// and less take the defaults: ten files of 10 MiB.
func NewRotator(dir, name string, maxFiles int, maxBytes int64) (*Rotator, error) {
	if maxFiles < 1 {
		maxFiles = 10
	}
	if maxBytes < 1 {
		maxBytes = 10 << 20
	}
	r := &Rotator{dir: dir, name: name, maxFiles: maxFiles, maxBytes: maxBytes}
	newest := 0
	for _, index := range r.indexes() {
		newest = max(newest, index)
	}
	return r, r.open(newest)
}

// indexes lists the numbers of the stream's files.
func (r *Rotator) indexes() []int {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return nil
	}
	var out []int
	for _, entry := range entries {
		text, ok := strings.CutPrefix(entry.Name(), r.name+".")
		if !ok {
			continue
		}
		if index, err := strconv.Atoi(text); err == nil && index >= 0 {
			out = append(out, index)
		}
	}
	return out
}

func (r *Rotator) path(index int) string {
	return filepath.Join(r.dir, r.name+"."+strconv.Itoa(index))
}

// open opens the file of an index and makes it the current one; if that fails
// the index stays what it was. A link is refused: whoever can write the
// directory must not lead us elsewhere.
func (r *Rotator) open(index int) error {
	f, err := os.OpenFile(r.path(index), os.O_CREATE|os.O_APPEND|os.O_WRONLY|syscall.O_NOFOLLOW, 0o644)
	if err != nil {
		return fmt.Errorf("open log file: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("open log file: %w", err), f.Close())
	}
	if !info.Mode().IsRegular() {
		return errors.Join(fmt.Errorf("open log file: %s is not a regular file", r.path(index)), f.Close())
	}
	r.file, r.index, r.size = f, index, info.Size()
	return nil
}

// Write implements io.Writer. Lines stay whole in one file where they fit.
func (r *Rotator) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		if r.size >= r.maxBytes {
			if err := r.rotate(); err != nil {
				return written, err
			}
		}
		part := r.fitting(p)
		if len(part) == 0 {
			r.size = r.maxBytes
			continue
		}
		n, err := r.file.Write(part)
		r.size += int64(n)
		written += n
		if err != nil {
			return written, fmt.Errorf("write log file: %w", err)
		}
		p = p[n:]
	}
	return written, nil
}

// fitting is the part of p for the current file; empty if the next one should
// begin with p.
func (r *Rotator) fitting(p []byte) []byte {
	room := r.maxBytes - r.size
	if int64(len(p)) <= room {
		return p
	}
	part := p[:room]
	if end := bytes.LastIndexByte(part, '\n'); end >= 0 {
		return part[:end+1]
	}
	// A line that doesn't fit begins a file of its own, unless it is longer
	// than any file.
	if line := bytes.IndexByte(p, '\n'); r.size > 0 && line >= 0 && int64(line) < r.maxBytes {
		return nil
	}
	return part
}

// rotate goes on to the next file. As long as that fails each write tries
// again, and nothing older is removed.
func (r *Rotator) rotate() error {
	_ = r.file.Close() // first, as there may be no descriptor for another
	if err := r.open(r.index + 1); err != nil {
		return err
	}
	failpoint.Here(failpoint.KeeperRotated)
	for _, index := range r.indexes() {
		if index <= r.index-r.maxFiles {
			if err := os.Remove(r.path(index)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove old log file: %w", err)
			}
		}
	}
	return nil
}

// Close closes the current file.
func (r *Rotator) Close() error { return r.file.Close() }
