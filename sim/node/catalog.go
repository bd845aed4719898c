package node

import (
	"context"
	"maps"
	"slices"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/sim/virtual"
	"github.com/steppe-run/steppe/structs"
)

// catalog has the drivers of a simulated node: all of them are its engine.
type catalog struct {
	d driver
	// found is what each is found to be, by name.
	found map[string]*structs.DriverInfo
}

// catalog returns the drivers as a life of the agent sees them.
func (n *Node) catalog(m *virtual.Machine) catalog {
	found := map[string]*structs.DriverInfo{DriverName: {Detected: true, Healthy: true}}
	if n.cfg.Before != nil {
		found = n.described().Drivers
	}
	return catalog{driver{e: n.engine, m: m}, found}
}

// Names implements drivers.Catalog.
func (c catalog) Names() []string { return slices.Sorted(maps.Keys(c.found)) }

// Driver implements drivers.Catalog.
func (c catalog) Driver(name string) (drivers.Driver, error) {
	if c.found[name] == nil {
		return nil, &drivers.UnknownDriverError{Name: name}
	}
	d := c.d
	d.name = name
	return d, nil
}

// EncodeConfig implements drivers.Catalog. What a real driver would be told says
// nothing of how long its task runs.
func (c catalog) EncodeConfig(_ context.Context, name string, config map[string]any, _ map[string]string) ([]byte, error) {
	var s spec
	if name == DriverName {
		var err error
		if s, err = specOf(config); err != nil {
			return nil, err
		}
	}
	return s.encode(), nil
}

// WatchFingerprints implements drivers.Catalog.
func (c catalog) WatchFingerprints(ctx context.Context, emit func(string, *drivers.Fingerprint)) error {
	for _, name := range c.Names() {
		info := c.found[name]
		fp := &drivers.Fingerprint{Attributes: info.Attributes, Health: drivers.Healthy, Description: info.HealthDescription}
		switch {
		case !info.Detected:
			fp.Health = drivers.HealthUndetected
		case !info.Healthy:
			fp.Health = drivers.HealthUnhealthy
		}
		emit(name, fp)
	}
	_, err := loop.Await(ctx)
	return err
}

// WatchEvents implements drivers.Catalog.
func (c catalog) WatchEvents(ctx context.Context, _ func(string, *drivers.Event)) error {
	_, err := loop.Await(ctx)
	return err
}

// Capabilities implements drivers.Describer. Groups may ask for a network of
// their own: it is taken for made by the drivers that can be expected to.
func (d driver) Capabilities(context.Context) (*drivers.Capabilities, error) {
	return &drivers.Capabilities{
		SendSignals: true, FSIsolation: drivers.FSNone, DisableLogCollection: true,
		NetworkModes:      []drivers.NetworkMode{drivers.NetworkHost, drivers.NetworkGroup, drivers.NetworkNone},
		MustCreateNetwork: !slices.Contains([]string{DriverName, "exec", "raw_exec", "java", "qemu"}, d.name),
	}, nil
}

// CreateNetwork implements drivers.Networker.
func (d driver) CreateNetwork(context.Context, string, string) (*drivers.NetworkIsolation, bool, error) {
	return &drivers.NetworkIsolation{Mode: drivers.NetworkGroup}, true, nil
}

// DestroyNetwork implements drivers.Networker.
func (d driver) DestroyNetwork(context.Context, string, *drivers.NetworkIsolation) error { return nil }
