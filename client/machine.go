package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-run/steppe/client/fingerprint"
	"github.com/steppe-run/steppe/internal/cpuset"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
)

const (
	// lookAgain is how often it is looked at what of a machine can change.
	lookAgain = time.Minute
	// cloudPause is the least between two questions to a cloud.
	cloudPause = time.Second
)

// changing are the parts of a machine that can change while it runs. The free
// disk is not among them: what tasks write would be taken from the node twice.
var changing = []string{"network", "memory", "host"}

// machineOptions are what is configured of the machine.
func (c *Client) machineOptions() fingerprint.Options {
	opts := fingerprint.Options{
		AllocDir: c.cfg.AllocDir, Interface: c.cfg.NetworkInterface, Loopback: c.cfg.Dev, LinkSpeed: c.cfg.NetworkSpeed,
		CPUTotalCompute: c.cfg.CPUTotalCompute, MemoryTotalMB: c.cfg.MemoryTotalMB,
		DiskTotalMB: c.cfg.DiskTotalMB, DiskFreeMB: c.cfg.DiskFreeMB,
		ReservedMHz: int(c.cfg.Reserved.Cpu.CpuShares), Clock: c.clock,
		Allow: c.optionList("fingerprint.allowlist"), Deny: c.optionList("fingerprint.denylist"),
	}
	opts.NoLinkLocal, _ = strconv.ParseBool(c.cfg.Options["fingerprint.network.disallow_link_local"]) // complete has looked
	opts.ReservedCores, _ = cpuset.Parse(c.cfg.ReservedCores)
	opts.ReservableCores, _ = cpuset.Parse(c.cfg.ReservableCores)
	return opts
}

// optionList reads a comma separated option.
func (c *Client) optionList(name string) []string {
	return strings.FieldsFunc(c.cfg.Options[name], func(r rune) bool { return r == ',' || r == ' ' })
}

// checkMachine refuses what is configured of the machine and can't be read.
func (cfg *Config) checkMachine() error {
	for name, text := range map[string]string{"client.reserved.cores": cfg.ReservedCores, "client.reservable_cores": cfg.ReservableCores} {
		if _, err := cpuset.Parse(text); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	const local = "fingerprint.network.disallow_link_local"
	if text := cfg.Options[local]; text != "" {
		if _, err := strconv.ParseBool(text); err != nil {
			return fmt.Errorf("client.options %s: %q is neither true nor false", local, text)
		}
	}
	return nil
}

// look finds out what the machine is.
func (c *Client) look(ctx context.Context) (fingerprint.Facts, []error) {
	if sim := c.deps.Simulated; sim != nil {
		return sim.Facts, nil
	}
	return fingerprint.Look(ctx, c.machineOptions())
}

// watchMachine looks again and again at what of the machine can change.
func (c *Client) watchMachine(ctx context.Context) error {
	if c.deps.Simulated != nil {
		return nil
	}
	opts := c.machineOptions()
	allowed := opts.Wants
	opts.Allow = slices.DeleteFunc(slices.Clone(changing), func(name string) bool { return !allowed(name) })
	if len(opts.Allow) == 0 {
		return nil
	}
	for ctx.Err() == nil {
		c.sleep(ctx, lookAgain, nil)
		facts, errs := fingerprint.Look(ctx, opts)
		for _, err := range errs {
			c.logger.Debug("a part of the node could not be found out again", logx.KeyError, err)
		}
		if ctx.Err() == nil {
			c.changeNode(facts.Renew)
		}
	}
	return ctx.Err()
}

// errNoCloud ends an agent that was told not to be without its cloud's word.
var errNoCloud = errors.New("the cloud doesn't answer, and client.fingerprint says exit_on_failure")

// askCloud asks a cloud again that was silent, as is configured. Nothing waits
// for it.
func (c *Client) askCloud(ctx context.Context) error {
	if c.deps.Simulated != nil {
		return nil
	}
	opts := c.machineOptions()
	name := fingerprint.CloudName(opts)
	retry, configured := c.cfg.Fingerprints[name]
	if name == "" || !configured || c.knowsCloud() {
		return nil
	}
	for try := 0; retry.RetryAttempts < 0 || try < retry.RetryAttempts; try++ {
		if err := loop.Sleep(ctx, c.clock, max(retry.RetryInterval, cloudPause)); err != nil {
			return err
		}
		facts, err := fingerprint.Cloud(ctx, opts)
		if err == nil {
			c.changeNode(facts.Renew)
			return nil
		}
		c.logger.Debug("the cloud doesn't answer", logx.KeyReason, name, logx.KeyError, err)
	}
	if retry.ExitOnFailure {
		return fmt.Errorf("%s: %w", name, errNoCloud)
	}
	return nil
}

// knowsCloud reports whether the cloud has told something already.
func (c *Client) knowsCloud() bool {
	n := c.Node()
	if n == nil {
		return false
	}
	for key := range n.Attributes {
		if strings.HasPrefix(key, "platform.") || strings.HasPrefix(key, "unique.platform.") {
			return true
		}
	}
	return false
}
