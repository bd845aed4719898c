package local

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Identity returns the node's identity, empty if none was stored yet.
func (db *DB) Identity() (Identity, error) {
	var id Identity
	err := db.view(func(tx *bbolt.Tx) error { return get(tx.Bucket(bucketMeta), keyIdentity, &id) })
	return id, err
}

// PutIdentity stores the node's identity.
func (db *DB) PutIdentity(id Identity) error {
	return db.update(func(tx *bbolt.Tx) error { return put(tx.Bucket(bucketMeta), keyIdentity, id) })
}

// NodeMeta returns the metadata that was set at run time; a nil value unsets
// a configured key.
func (db *DB) NodeMeta() (map[string]*string, error) {
	meta := map[string]*string{}
	err := db.view(func(tx *bbolt.Tx) error { return get(tx.Bucket(bucketMeta), keyNodeMeta, &meta) })
	return meta, err
}

// PutNodeMeta replaces the metadata that was set at run time.
func (db *DB) PutNodeMeta(meta map[string]*string) error {
	return db.update(func(tx *bbolt.Tx) error { return put(tx.Bucket(bucketMeta), keyNodeMeta, meta) })
}

// PutAlloc stores an allocation; its tasks are kept as they are.
func (db *DB) PutAlloc(a *Alloc) error {
	return db.update(func(tx *bbolt.Tx) error {
		b, err := tx.Bucket(bucketAllocs).CreateBucketIfNotExists([]byte(a.Alloc.ID))
		if err != nil {
			return fmt.Errorf("store allocation: %w", err)
		}
		return put(b, keyAlloc, a)
	})
}

// PutTask stores one task of an allocation that is stored already. For an
// allocation that was deleted meanwhile it does nothing.
func (db *DB) PutTask(allocID, name string, t *Task) error {
	return db.update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketAllocs).Bucket([]byte(allocID))
		if b == nil {
			return nil
		}
		tasks, err := b.CreateBucketIfNotExists(keyTasks)
		if err != nil {
			return fmt.Errorf("store task: %w", err)
		}
		return put(tasks, []byte(name), t)
	})
}

// DeleteAlloc forgets an allocation and its tasks.
func (db *DB) DeleteAlloc(id string) error {
	return db.update(func(tx *bbolt.Tx) error {
		err := tx.Bucket(bucketAllocs).DeleteBucket([]byte(id))
		if errors.Is(err, bolterrors.ErrBucketNotFound) {
			return nil
		}
		return err
	})
}

// Allocs returns everything remembered of allocations, ordered by id.
func (db *DB) Allocs() ([]*Alloc, error) {
	var out []*Alloc
	err := db.view(func(tx *bbolt.Tx) error {
		out = nil
		return tx.Bucket(bucketAllocs).ForEachBucket(func(id []byte) error {
			a, err := readAlloc(tx.Bucket(bucketAllocs).Bucket(id))
			if err != nil {
				return fmt.Errorf("read allocation %s: %w", id, err)
			}
			if a.Alloc != nil {
				out = append(out, a)
			}
			return nil
		})
	})
	return out, err
}

func readAlloc(b *bbolt.Bucket) (*Alloc, error) {
	a := &Alloc{Tasks: map[string]*Task{}}
	if err := get(b, keyAlloc, a); err != nil {
		return nil, err
	}
	tasks := b.Bucket(keyTasks)
	if tasks == nil {
		return a, nil
	}
	return a, tasks.ForEach(func(name, _ []byte) error {
		t := &Task{}
		if err := get(tasks, name, t); err != nil {
			return err
		}
		a.Tasks[string(name)] = t
		return nil
	})
}
