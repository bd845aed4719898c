package chance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Shards keeps the tallies of ranges of seeds in a folder, so that a long
// campaign can be interrupted and resumed.
type Shards struct {
	Dir *os.Root
	// Size is how many seeds a shard has.
	Size uint64
	// Revision is of the program: a shard that another one played is played anew.
	Revision string
}

// shard is a file of the folder.
type shard struct {
	Revision string
	From     uint64
	Tally    *Tally
}

// Play plays n seeds from a first one, shard by shard; those that are there
// already are only added up. done is told how many seeds are done.
func (s Shards) Play(ctx context.Context, from, n uint64, done func(played uint64)) (*Tally, error) {
	total := newTally()
	for at := from; at < from+n; at += s.Size {
		size := min(s.Size, from+n-at)
		name := fmt.Sprintf("seeds-%d-%d.json", at, at+size-1)
		t, err := s.read(name)
		if err != nil {
			return nil, err
		}
		if t == nil {
			before := total.Stories
			if t, err = Play(ctx, at, size, func(played uint64) { done(before + played) }); err != nil {
				return nil, err
			}
			if err := s.write(name, &shard{s.Revision, at, t}); err != nil {
				return nil, err
			}
		}
		total.Add(t)
		done(total.Stories)
	}
	return total, nil
}

// read returns the tally of a shard, nil if it is to be played.
func (s Shards) read(name string) (*Tally, error) {
	data, err := s.Dir.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read shard: %w", err)
	}
	var kept shard
	if err := json.Unmarshal(data, &kept); err != nil || kept.Revision != s.Revision {
		return nil, nil // cut off while it was written, or of another program
	}
	return kept.Tally, nil
}

func (s Shards) write(name string, kept *shard) error {
	data, err := json.Marshal(kept)
	if err != nil {
		return fmt.Errorf("encode shard: %w", err)
	}
	if err := s.Dir.WriteFile(name+".new", data, 0o644); err != nil {
		return fmt.Errorf("write shard: %w", err)
	}
	if err := s.Dir.Rename(name+".new", name); err != nil {
		return fmt.Errorf("write shard: %w", err)
	}
	return nil
}
