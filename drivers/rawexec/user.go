//go:build linux

package rawexec

import (
	"fmt"
	"os"
	"os/user"
	"strconv"

	"github.com/steppe-run/steppe/drivers/supervise/keeper"
)

// resolveUser finds the user a task runs as; nil is the agent's own.
func resolveUser(name string, plugin *pluginConfig) (*keeper.User, error) {
	uid, gid := uint32(os.Geteuid()), uint32(os.Getegid())
	var out *keeper.User
	if name != "" {
		found, err := lookupUser(name)
		if err != nil {
			return nil, err
		}
		if found.UID != uid {
			if !isRoot() {
				return nil, fmt.Errorf("run as user %q: the agent isn't root and can only run tasks as itself", name)
			}
			out = found
		}
		uid, gid = found.UID, found.GID
	}
	if plugin.deniedUIDs.contain(uid) {
		return nil, fmt.Errorf("user id %d is denied on this node (denied_host_uids)", uid)
	}
	if plugin.deniedGIDs.contain(gid) {
		return nil, fmt.Errorf("group id %d is denied on this node (denied_host_gids)", gid)
	}
	if out != nil {
		for _, g := range out.Groups {
			if plugin.deniedGIDs.contain(g) {
				return nil, fmt.Errorf("group id %d is denied on this node (denied_host_gids)", g)
			}
		}
	}
	return out, nil
}

func lookupUser(name string) (*keeper.User, error) {
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
