package structs

import (
	"encoding/json"
	"fmt"
	"time"
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
