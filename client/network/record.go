package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/steppe-run/steppe/structs"
)

// recordSuffix ends the name of a record's file.
const recordSuffix = ".json"

// record is what is known of one allocation's network. It is written before
// anything is made, and removed after everything was taken away.
type record struct {
	AllocID string
	Mode    string
	// Path of the namespace; Own says that it was made here, and not by a driver.
	Path string
	Own  bool
	// Link is the bridge's end of the allocation's cable.
	Link        string                `json:",omitempty"`
	Address     netip.Addr            `json:",omitzero"`
	AddressIPv6 netip.Addr            `json:",omitzero"`
	Ports       []structs.PortMapping `json:",omitempty"`
}

func (r *record) bridged() bool { return r.Mode == structs.NetworkModeBridge }

// records is the folder that holds them.
type records struct{ dir string }

// safeID refuses ids that would lead out of a folder.
func safeID(id string) error {
	if id == "" || strings.ContainsAny(id, "/\x00") || strings.HasPrefix(id, ".") {
		return fmt.Errorf("allocation id %q can't name a network", id)
	}
	return nil
}

// read returns all records. What can't be read was torn by the end of the
// machine, whose networks ended with it.
func (s records) read() (map[string]*record, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]*record{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read network records: %w", err)
	}
	out := map[string]*record{}
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), recordSuffix)
		if !ok {
			continue
		}
		data, err := os.ReadFile(filepath.Join(s.dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read network record: %w", err)
		}
		r := &record{}
		if err := json.Unmarshal(data, r); err == nil && r.AllocID == id && safeID(id) == nil {
			out[id] = r
		}
	}
	return out, nil
}

func (s records) write(r *record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode network record: %w", err)
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("write network record: %w", err)
	}
	path := filepath.Join(s.dir, r.AllocID+recordSuffix)
	// It has to survive this process only: namespaces don't survive more.
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return fmt.Errorf("write network record: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write network record: %w", err)
	}
	return nil
}

func (s records) remove(id string) error {
	if err := os.Remove(filepath.Join(s.dir, id+recordSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove network record: %w", err)
	}
	return nil
}
