//go:build linux

package process

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"

	"github.com/steppe-run/steppe/drivers/supervise/keeper"
)

// Denied are the users and groups that tasks must not run as.
type Denied struct {
	UIDs Ranges
	GIDs Ranges
}

// ParseDenied reads a plugin's denied_host_uids and denied_host_gids.
func ParseDenied(uids, gids string) (d Denied, err error) {
	if d.UIDs, err = ParseRanges(uids); err != nil {
		return d, fmt.Errorf("denied_host_uids: %w", err)
	}
	if d.GIDs, err = ParseRanges(gids); err != nil {
		return d, fmt.Errorf("denied_host_gids: %w", err)
	}
	return d, nil
}

// Check refuses a user by its numbers.
func (d *Denied) Check(u *keeper.User) error {
	if d.UIDs.Contain(u.UID) {
		return fmt.Errorf("user id %d is denied on this node (denied_host_uids)", u.UID)
	}
	for _, gid := range append([]uint32{u.GID}, u.Groups...) {
		if d.GIDs.Contain(gid) {
			return fmt.Errorf("group id %d is denied on this node (denied_host_gids)", gid)
		}
	}
	return nil
}

// Self is who runs this process.
func Self() *keeper.User {
	return &keeper.User{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
}

// LookupUser finds a user of the node by name or number.
func LookupUser(name string) (*keeper.User, error) {
	u, err := user.Lookup(name)
	if err != nil {
		// A number names a user too.
		if u, err = user.LookupId(name); err != nil {
			return nil, fmt.Errorf("run as user %q: there is no such user on this node", name)
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("read user id of %q: %w", name, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("read group id of %q: %w", name, err)
	}
	out := &keeper.User{UID: uint32(uid), GID: uint32(gid)}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("read groups of %q: %w", name, err)
	}
	for _, text := range ids {
		if g, err := strconv.ParseUint(text, 10, 32); err == nil {
			out.Groups = append(out.Groups, uint32(g))
		}
	}
	return out, nil
}

// Ranges are closed intervals of user or group numbers.
type Ranges [][2]uint64

// ParseRanges reads a list such as "0,1000-1999".
func ParseRanges(text string) (Ranges, error) {
	var out Ranges
	for _, part := range strings.Split(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		from, err1 := strconv.ParseUint(strings.TrimSpace(low), 10, 32)
		to, err2 := strconv.ParseUint(strings.TrimSpace(high), 10, 32)
		if err1 != nil || err2 != nil || from > to {
			return nil, fmt.Errorf("%q is neither a number nor a range such as 1000-1999", part)
		}
		out = append(out, [2]uint64{from, to})
	}
	return out, nil
}

// Contain reports whether a number lies in one of the intervals.
func (r Ranges) Contain(n uint32) bool {
	for _, interval := range r {
		if uint64(n) >= interval[0] && uint64(n) <= interval[1] {
			return true
		}
	}
	return false
}
