package structs

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// NodePool is a set of nodes that jobs choose by name.
type NodePool struct {
	Name                   string
	Description            string
	Meta                   map[string]string
	NodeIdentityTTL        time.Duration // text in JSON; default 24h
	SchedulerConfiguration *NodePoolSchedulerConfiguration
	CreateIndex            uint64
	ModifyIndex            uint64
}

// NodePoolSchedulerConfiguration overrides the cluster's configuration.
type NodePoolSchedulerConfiguration struct {
	SchedulerAlgorithm            string
	MemoryOversubscriptionEnabled *bool
}

// defaultNodeIdentityTTL is how long a node's identity lasts where its pool
// doesn't say.
const defaultNodeIdentityTTL = 24 * time.Hour

const (
	maxPoolName        = 128
	maxPoolDescription = 256
)

// BuiltIn reports whether the pool exists without being created. Such a pool
// can't be changed or deleted.
func (p *NodePool) BuiltIn() bool { return p.Name == NodePoolAll || p.Name == NodePoolDefault }

// Canonicalize fills in what the pool leaves open.
func (p *NodePool) Canonicalize() {
	if p.NodeIdentityTTL == 0 {
		p.NodeIdentityTTL = defaultNodeIdentityTTL
	}
}

// Validate returns all that is wrong with the pool, a *ValidationError, or nil.
func (p *NodePool) Validate() error {
	f := newFaults()
	f.check(p.validName(), "invalid name %q: it has 1 to %d letters, digits, - or _", p.Name, maxPoolName)
	f.check(!p.BuiltIn(), "node pool %q is built in and can't be changed", p.Name)
	f.check(utf8.RuneCountInString(p.Description) <= maxPoolDescription,
		"its description has more than %d characters", maxPoolDescription)
	f.check(p.NodeIdentityTTL >= 0, "its node identity's time to live is negative")
	if c := p.SchedulerConfiguration; c != nil {
		switch c.SchedulerAlgorithm {
		case "", SchedulerBinPack, SchedulerSpread:
		default:
			f.in("scheduler_config").add("scheduler algorithm %q is unknown: use %s or %s", c.SchedulerAlgorithm, SchedulerBinPack, SchedulerSpread)
		}
	}
	return f.err()
}

func (p *NodePool) validName() bool {
	ok := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
	}
	return p.Name != "" && len(p.Name) <= maxPoolName && !strings.ContainsFunc(p.Name, func(r rune) bool { return !ok(r) })
}

// MarshalJSON writes the pool with its time to live as text, as the API does.
func (p NodePool) MarshalJSON() ([]byte, error) {
	type plain NodePool
	return json.Marshal(struct {
		NodeIdentityTTL string
		plain
	}{p.NodeIdentityTTL.String(), plain(p)})
}

// UnmarshalJSON reads a pool; its time to live may be text or nanoseconds.
func (p *NodePool) UnmarshalJSON(data []byte) error {
	type plain NodePool
	in := struct {
		NodeIdentityTTL any
		*plain
	}{plain: (*plain)(p)}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	switch ttl := in.NodeIdentityTTL.(type) {
	case string:
		d, err := time.ParseDuration(ttl)
		if err != nil && ttl != "" {
			return fmt.Errorf(`read NodeIdentityTTL: %q is not a duration such as "24h"`, ttl)
		}
		p.NodeIdentityTTL = d
	case float64:
		p.NodeIdentityTTL = time.Duration(ttl)
	}
	return nil
}
