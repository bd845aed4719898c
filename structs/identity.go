package structs

import "time"

// WorkloadIdentity is a signed token that tells who a task is.
type WorkloadIdentity struct {
	Name         string        `change:"replace"` // default "default"; ^[a-zA-Z0-9-_]{1,128}$
	Audience     []string      `change:"replace"` // default default: nomadproject.io; list; no empty strings; required on service identity
	ChangeMode   string        `change:"replace"` // default noop; noop restart signal
	ChangeSignal string        `change:"replace"` // signal; only and always with signal
	Env          bool          `change:"replace"` // NOMAD_TOKEN (default) or NOMAD_TOKEN_<name>
	File         bool          `change:"replace"` // secrets/nomad_token or secrets/nomad_<name>.jwt
	Filepath     string        `change:"replace"` // path in task dir; needs file=true
	ServiceName  string        `change:"replace"` // set by server
	TTL          time.Duration `change:"replace"` // default 0 (no expiry); >=0; not for default identity
	ExtraClaims  []string      `change:"replace"` // names from the namespace OptionalExtraClaims; namespace RequiredExtraClaims always added
}
