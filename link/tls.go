package link

import (
	"crypto/tls"
	"errors"
)

// Role is what a certificate entitles its holder to be.
type Role string

// The roles. A server may do all that a client may.
const (
	RoleServer Role = "server"
	RoleClient Role = "client"
)

// Files names the files of the configuration's tls block.
type Files struct{ CA, Cert, Key string }

// Set reports whether any of the files is named.
func (f Files) Set() bool { return f.CA != "" || f.Cert != "" || f.Key != "" }

// TLS is an agent's identity and whom it trusts. It may be reloaded while
// connections are open; those go on with what they began with.
type TLS struct{ region string }

// LoadTLS reads an agent's identity. The certificate must be one of region, in
// the given role or a higher one.
func LoadTLS(f Files, region string, role Role) (*TLS, error) {
	return nil, errors.New("load tls files: not written yet")
}

// Reload reads the files again. If they are unusable the old ones stay.
func (t *TLS) Reload() error { return errors.New("reload tls files: not written yet") }

// ServerConfig is the configuration for accepting connections: TLS 1.3, a
// certificate of the region is demanded.
func (t *TLS) ServerConfig(alpn ...string) *tls.Config { return nil }

// ClientConfig is the configuration for dialling a server of the region.
func (t *TLS) ClientConfig(alpn string) *tls.Config { return nil }

// DevCA returns an identity from the certificate authority that is kept in
// dir, made there if it isn't yet. All agents that bind only to loopback share
// it; several may call it at once.
func DevCA(dir, region string, role Role) (*TLS, error) {
	return nil, errors.New("make the development certificate authority: not written yet")
}

// MayBind refuses an address beyond loopback unless the agent has certificates
// of its own.
func MayBind(addr string, haveFiles bool) error {
	return errors.New("check bind address: not written yet")
}
