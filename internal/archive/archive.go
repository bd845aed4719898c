// Package archive is the file into which a region's state is saved: a gzipped
// tar of the state, of what is said of it, and of the checksums of both.
//
// It must not know what a state is. Begin reading at Write and Read.
package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Names of the parts, in their order.
const (
	metaName  = "meta.json"
	stateName = "state.bin"
	sumsName  = "SHA256SUMS"
)

// maxMeta bounds what an archive says of itself, in bytes.
const maxMeta = 1 << 20

// ErrDamaged says that an archive is not as it was written.
var ErrDamaged = errors.New("it is damaged, or no snapshot")

// Meta is what an archive says of the state in it.
type Meta struct {
	// Format of the archive; 1.
	Format int
	// Index is the last entry of the log that is in the state, Term the log's, Time
	// when it was saved.
	Index, Term uint64
	Time        time.Time
	// Version is what the server that saved it runs, Server and Region its names.
	Version, Server, Region string
	// Size of the state in bytes.
	Size int64
	// Tables are the parts of the state, and how much there is of each.
	Tables []Table
}

// ID names a state among those of its region.
func (m Meta) ID() string { return fmt.Sprintf("%d-%d-%d", m.Term, m.Index, m.Time.UnixMilli()) }

// Table is a part of a state.
type Table struct {
	Name  string
	Count int
	Bytes int64
}

// Write writes an archive with Size bytes of state.
func Write(w io.Writer, m Meta, state io.Reader) error {
	m.Format = 1
	meta, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encode description of the snapshot: %w", err)
	}
	zipped := gzip.NewWriter(w)
	out := tar.NewWriter(zipped)
	sum := sha256.New()
	parts := []struct {
		name string
		size int64
		from io.Reader
	}{{metaName, int64(len(meta)), bytes.NewReader(meta)}, {stateName, m.Size, io.TeeReader(state, sum)}}
	for _, p := range parts {
		if err := part(out, p.name, p.size, m.Time, p.from); err != nil {
			return err
		}
	}
	sums := fmt.Sprintf("%x  %s\n%x  %s\n", sha256.Sum256(meta), metaName, sum.Sum(nil), stateName)
	if err := part(out, sumsName, int64(len(sums)), m.Time, strings.NewReader(sums)); err != nil {
		return err
	}
	if err := errors.Join(out.Close(), zipped.Close()); err != nil {
		return fmt.Errorf("end the snapshot: %w", err)
	}
	return nil
}

func part(out *tar.Writer, name string, size int64, at time.Time, from io.Reader) error {
	err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: size, ModTime: at, Format: tar.FormatPAX})
	if err == nil {
		_, err = io.Copy(out, from)
	}
	if err != nil {
		return fmt.Errorf("write %s of the snapshot: %w", name, err)
	}
	return nil
}

// Is reports whether what comes looks like an archive; nothing is taken from r.
func Is(r *bufio.Reader) bool {
	head, err := r.Peek(2)
	return err == nil && head[0] == 0x1f && head[1] == 0x8b
}

// Read reads an archive: it gives what is said of the state to begin, writes the
// state to what that returns, and verifies both. Only if it returns no error is
// what was written the whole state. Most is how many bytes a state may have.
func Read(r io.Reader, most int64, begin func(Meta) (io.Writer, error)) error {
	zipped, err := gzip.NewReader(r)
	if err != nil {
		return damaged(err)
	}
	in := tar.NewReader(zipped)
	raw, err := small(in, metaName)
	if err != nil {
		return err
	}
	var m Meta
	if err := json.Unmarshal(raw, &m); err != nil {
		return damaged(err)
	}
	if m.Format != 1 {
		return fmt.Errorf("the snapshot is of format %d, this release reads format 1", m.Format)
	}
	header, err := in.Next()
	switch {
	case err != nil:
		return damaged(err)
	case header.Name != stateName || header.Size != m.Size:
		return damaged(fmt.Errorf("%s of %d bytes in place of %s of %d", header.Name, header.Size, stateName, m.Size))
	case header.Size > most:
		return fmt.Errorf("the state in it has %d bytes, more than %d", header.Size, most)
	}
	to, err := begin(m)
	if err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(to, sum), in); err != nil {
		return damaged(err)
	}
	sums, err := small(in, sumsName)
	if err != nil {
		return err
	}
	want := fmt.Sprintf("%x  %s\n%x  %s\n", sha256.Sum256(raw), metaName, sum.Sum(nil), stateName)
	if string(sums) != want {
		return damaged(errors.New("a checksum is wrong"))
	}
	if _, err := in.Next(); !errors.Is(err, io.EOF) {
		return damaged(errors.New("it goes on after its end"))
	}
	if _, err := io.Copy(io.Discard, io.LimitReader(zipped, maxMeta)); err != nil {
		return damaged(err) // the checksum of the compression stands at its end
	}
	return nil
}

// small reads a part that is short.
func small(in *tar.Reader, name string) ([]byte, error) {
	header, err := in.Next()
	if err != nil {
		return nil, damaged(err)
	}
	if header.Name != name || header.Size > maxMeta {
		return nil, damaged(fmt.Errorf("%q in place of %q", header.Name, name))
	}
	data, err := io.ReadAll(in)
	if err != nil {
		return nil, damaged(err)
	}
	return data, nil
}

func damaged(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends early", ErrDamaged)
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}
