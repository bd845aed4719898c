// Package local is the node's crash-safe memory: who the node is, which
// allocations it was given, what it meant to do with each task before doing
// it, and the handle by which a running task is found again.
//
// It must not know what the records mean, nor who acts on them. Writers that
// come at the same time share one commit. Begin reading at Open and DB.
package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/failpoint"
	"github.com/steppe-run/steppe/structs"
)

// schemaVersion is the layout of the file. A file of a later one is refused:
// going back is not possible.
const schemaVersion = 1

// lockWait is how long another agent may still be holding the file.
const lockWait = time.Second

var (
	bucketMeta   = []byte("meta")
	bucketAllocs = []byte("allocs")
	keySchema    = []byte("schema")
	keyIdentity  = []byte("identity")
	keyNodeMeta  = []byte("node_meta")
	keyAlloc     = []byte("alloc")
	keyTasks     = []byte("tasks")
)

// ErrInUse says that another process holds the memory.
var ErrInUse = errors.New("another agent is using this state directory: stop it, or give this one a data_dir of its own")

// errBroken says that what the file holds can't be understood.
var errBroken = errors.New("client state is broken")

// Identity is the node's name and the proof of it, for life.
type Identity struct {
	NodeID   string
	SecretID string
}

// Intent is what was about to be done to a task when it was written.
type Intent string

// The intents.
const (
	IntentNone  Intent = ""
	IntentStart Intent = "start" // the driver may have been asked to start it
	IntentRun   Intent = "run"   // it was started, its handle is known
	IntentStop  Intent = "stop"  // it is to end and not to start again
)

// Task is what is remembered of one task.
type Task struct {
	// Intent and TaskID are written before acting; Handle after the start.
	Intent Intent
	TaskID string
	Handle *drivers.Handle `json:",omitempty"`
	// Fail and NoDelay belong to IntentStop: the task fails by being ended, and
	// its shutdown_delay is left out, or over.
	Fail    bool `json:",omitempty"`
	NoDelay bool `json:",omitempty"`
	State   *structs.TaskState
	// Window counts the restarts within the policy's interval.
	Window structs.RestartWindow
	// Network is where the driver said that the task is reached.
	Network *drivers.Network `json:",omitempty"`
}

// Alloc is what is remembered of one allocation.
type Alloc struct {
	// Alloc is the allocation as received, its job included.
	Alloc *structs.Allocation
	// Network is what was made for it.
	Network *drivers.NetworkIsolation `json:",omitempty"`
	// NetworkDriver is the driver that made it.
	NetworkDriver string `json:",omitempty"`
	// Health is the verdict on its health, once there is one.
	Health *structs.AllocDeploymentStatus `json:",omitempty"`
	// Prepared says that it has waited for the allocation that it replaces and
	// has taken over what is to be kept: its tasks may have run.
	Prepared bool `json:",omitempty"`
	// Again says that its tasks are being ended to begin again.
	Again bool `json:",omitempty"`
	// Tasks by name; filled when reading, ignored by PutAlloc.
	Tasks map[string]*Task `json:"-"`
}

// DB is the open memory. It is safe for concurrent use.
type DB struct {
	bolt *bbolt.DB

	mu    sync.Mutex
	busy  bool // somebody leads a commit
	queue []*write
}

// write is one change waiting for the next commit.
type write struct {
	apply func(*bbolt.Tx) error
	err   error
	// turn says that the change is on disk (false), or that its owner leads
	// the next commit (true).
	turn chan bool
}

// Open opens the memory in dir and creates it if there is none. A file whose
// content is broken is moved aside and a new one begun; moved then names where
// the old one went. Any other error leaves the file alone: a node that begins
// anew has another identity and ends every task that runs.
func Open(dir string) (db *DB, moved string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", fmt.Errorf("open client state: %w", err)
	}
	path := filepath.Join(dir, "state.db")
	db, err = open(path)
	if err == nil {
		return db, "", nil
	}
	if broken(err) {
		// bbolt says the same of a disk that can't be read.
		if readErr := readThrough(path); readErr != nil {
			err = readErr
		}
	}
	if !broken(err) {
		return nil, "", fmt.Errorf("open client state %s: %w", path, err)
	}
	moved, moveErr := moveAside(path)
	if moveErr != nil {
		return nil, "", fmt.Errorf("open client state %s: %w; moving it aside failed too: %w", path, err, moveErr)
	}
	if db, err = open(path); err != nil {
		return nil, moved, fmt.Errorf("open client state %s: %w", path, err)
	}
	return db, moved, nil
}

// Close closes the file. Writes that are under way end first.
func (db *DB) Close() error { return db.bolt.Close() }

type versionError struct{ found int }

func (e *versionError) Error() string {
	return fmt.Sprintf("it was written by a later release (layout %d, this one knows %d): run that release, or give this agent a data_dir of its own", e.found, schemaVersion)
}

func open(path string) (*DB, error) {
	var bolt *bbolt.DB
	err := guard(func() (err error) {
		bolt, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait, FreelistType: bbolt.FreelistMapType})
		return err
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, ErrInUse
	}
	if err != nil {
		return nil, err
	}
	db := &DB{bolt: bolt}
	if err := db.prepare(); err != nil {
		_ = bolt.Close() // the first error counts
		return nil, err
	}
	return db, nil
}

// prepare creates what is missing and reads everything once: a page that is
// broken shows now, and not when a task depends on it.
func (db *DB) prepare() error {
	err := db.update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucketIfNotExists(bucketMeta)
		if err != nil {
			return err
		}
		if _, err := tx.CreateBucketIfNotExists(bucketAllocs); err != nil {
			return err
		}
		var found int
		if err := get(meta, keySchema, &found); err != nil {
			return err
		}
		if found > schemaVersion {
			return &versionError{found}
		}
		return put(meta, keySchema, schemaVersion)
	})
	if err != nil {
		return err
	}
	if _, err := db.Identity(); err != nil {
		return err
	}
	_, err = db.Allocs()
	return err
}

// broken reports whether an error is about the content of the file, and not
// about the machine or another process.
func broken(err error) bool {
	for _, sign := range []error{errBroken, bolterrors.ErrInvalid, bolterrors.ErrChecksum, bolterrors.ErrVersionMismatch} {
		if errors.Is(err, sign) {
			return true
		}
	}
	return false
}

// readThrough reads a file to its end, for the error alone.
func readThrough(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	_, err = io.Copy(io.Discard, f)
	return err
}

// moveAside renames a broken file to the first free name.
func moveAside(path string) (string, error) {
	for i := 1; ; i++ {
		to := fmt.Sprintf("%s.broken.%d", path, i)
		if _, err := os.Lstat(to); err == nil {
			continue
		}
		return to, os.Rename(path, to)
	}
}

// update queues a change and waits until it is on disk. The first that comes
// leads: it commits what waits by then, and hands over to one of those that
// came meanwhile. So a commit is as large as the disk is slow.
func (db *DB) update(apply func(*bbolt.Tx) error) error {
	own := &write{apply: apply, turn: make(chan bool, 1)}
	db.mu.Lock()
	db.queue = append(db.queue, own)
	lead := !db.busy
	db.busy = true
	db.mu.Unlock()
	if !lead && !<-own.turn {
		return own.err
	}
	db.mu.Lock()
	batch := db.queue
	db.queue = nil
	db.mu.Unlock()
	db.write(batch)
	db.mu.Lock()
	if db.busy = len(db.queue) > 0; db.busy {
		db.queue[0].turn <- true
	}
	db.mu.Unlock()
	for _, w := range batch {
		if w != own {
			w.turn <- false
		}
	}
	return own.err
}

// write commits a batch at once; if one of it fails, each for itself.
func (db *DB) write(batch []*write) {
	failpoint.Here(failpoint.MemoryCommit)
	defer failpoint.Here(failpoint.MemoryCommitted)
	err := db.transact(func(tx *bbolt.Tx) error {
		for _, w := range batch {
			if err := w.apply(tx); err != nil {
				return err
			}
		}
		return nil
	})
	for _, w := range batch {
		if err != nil && len(batch) > 1 {
			w.err = db.transact(w.apply)
		} else {
			w.err = err
		}
	}
}

func (db *DB) transact(f func(*bbolt.Tx) error) error {
	return guard(func() error { return db.bolt.Update(f) })
}

func (db *DB) view(f func(*bbolt.Tx) error) error {
	return guard(func() error { return db.bolt.View(f) })
}

// guard turns a panic over a broken page, or a fault beyond the end of a file
// that was cut short, into an error.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errBroken, r)
		}
	}()
	return f()
}

func put(b *bbolt.Bucket, key []byte, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode client state: %w", err)
	}
	return b.Put(key, data)
}

// get leaves into as it is when the key is absent.
func get(b *bbolt.Bucket, key []byte, into any) error {
	data := b.Get(key)
	if data == nil {
		return nil
	}
	return decode(data, key, into)
}

func decode(data, key []byte, into any) error {
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%w: decode %s: %w", errBroken, key, err)
	}
	return nil
}
