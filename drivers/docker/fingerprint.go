//go:build linux

package docker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/client"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/loop"
)

const (
	// fingerprintPeriod is how often the engine is asked how it is, and
	// fingerprintRetry how often while it is away.
	fingerprintPeriod = 15 * time.Second
	fingerprintRetry  = 5 * time.Second
	// fingerprintTimeout is how long an engine may take to answer.
	fingerprintTimeout = 5 * time.Second
)

// Fingerprint implements drivers.Describer.
func (d *Driver) Fingerprint(ctx context.Context, emit func(*drivers.Fingerprint) error) error {
	seen := false
	var last *drivers.Fingerprint
	for {
		fp, err := d.examine(ctx)
		period := fingerprintPeriod
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			seen = true
		default:
			period = fingerprintRetry
			fp = &drivers.Fingerprint{Health: drivers.HealthUndetected, Description: "Docker's engine can't be reached: " + err.Error()}
			if seen {
				// It was there: its tasks may still be.
				fp.Health, fp.Attributes = drivers.HealthUnhealthy, last.Attributes
			}
		}
		if last == nil || !same(last, fp) {
			if err := emit(fp); err != nil {
				return err
			}
			last = fp
		}
		// An engine that comes or goes is noticed at once where it says so.
		_, _ = loop.Wait(ctx, d.clock, period, d.poke) // the end of ctx is seen above
	}
}

func same(a, b *drivers.Fingerprint) bool {
	return a.Health == b.Health && a.Description == b.Description && maps.Equal(a.Attributes, b.Attributes)
}

// examine asks the engine what it is.
func (d *Driver) examine(ctx context.Context) (*drivers.Fingerprint, error) {
	engine, plugin, err := d.api()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, fingerprintTimeout)
	defer cancel()
	version, err := engine.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return nil, err
	}
	answer, err := engine.Info(ctx, client.InfoOptions{})
	if err != nil {
		return nil, fmt.Errorf("read engine's facts: %w", err)
	}
	info := answer.Info
	attributes := map[string]string{
		"driver.docker.version":            version.Version,
		"driver.docker.os_type":            info.OSType,
		"driver.docker.runtimes":           strings.Join(slices.Sorted(maps.Keys(info.Runtimes)), ","),
		"driver.docker.privileged.enabled": strconv.FormatBool(plugin.AllowPrivileged),
		"driver.docker.volumes.enabled":    strconv.FormatBool(plugin.Volumes.Enabled),
	}
	if network, err := engine.NetworkInspect(ctx, "bridge", client.NetworkInspectOptions{}); err == nil {
		for _, pool := range network.Network.IPAM.Config {
			if pool.Gateway.IsValid() {
				attributes["driver.docker.bridge_ip"] = pool.Gateway.String()
				break
			}
		}
	}
	return &drivers.Fingerprint{Health: drivers.Healthy, Description: "Healthy", Attributes: attributes}, nil
}
