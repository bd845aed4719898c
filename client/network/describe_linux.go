package network

import (
	"errors"
	"os"
	"strconv"

	"github.com/google/nftables"

	"github.com/steppe-run/steppe/structs"
)

// bridgeVersion is told as the version of the CNI plugin `bridge`, which jobs
// of mode bridge may ask for: what it would do is built in.
const bridgeVersion = "1.0.0"

// Describe tells what networks this node can make. The error says why there are
// none.
func (m *Manager) Describe() ([]*structs.NetworkResource, map[string]string, error) {
	if os.Geteuid() != 0 {
		return nil, nil, errors.New("network namespaces take root")
	}
	if err := filterWorks(); err != nil {
		return nil, nil, err
	}
	offers := []*structs.NetworkResource{{Mode: structs.NetworkModeBridge, Device: m.Bridge}}
	attributes := map[string]string{
		"nomad.bridge.hairpin_mode":  strconv.FormatBool(m.Hairpin),
		"plugins.cni.version.bridge": bridgeVersion,
	}
	return offers, attributes, nil
}

// filterWorks asks the packet filter for its tables.
func filterWorks() error {
	c, err := dialRules()
	if err != nil {
		return err
	}
	defer func() { _ = c.CloseLasting() }()
	_, err = c.ListTablesOfFamily(nftables.TableFamilyIPv4)
	return err
}
