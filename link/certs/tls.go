// Package certs is who an agent is and whom it trusts: certificate authorities,
// certificates that carry a role in a region, and the TLS configurations made
// of them.
//
// It must not know what a connection is used for. Begin reading at TLS, then
// CreateCA and DevCA.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
)

// Files names the files of the configuration's tls block.
type Files struct{ CA, Cert, Key string }

// Set reports whether any of the files is named.
func (f Files) Set() bool { return f.CA != "" || f.Cert != "" || f.Key != "" }

// TLS is an agent's identity and whom it trusts. It may be reloaded while
// connections are open; those go on with what they began with.
type TLS struct {
	region  string
	role    Role
	load    func() (*identity, error)
	current atomic.Pointer[identity]
}

// identity is one loaded state of a TLS.
type identity struct {
	cert  tls.Certificate
	roots *x509.CertPool
}

// LoadTLS reads an agent's identity. The certificate must be one of region, in
// the given role or a higher one.
func LoadTLS(f Files, region string, role Role) (*TLS, error) {
	if f.CA == "" || f.Cert == "" || f.Key == "" {
		return nil, errors.New("the tls block is incomplete: ca_file, cert_file and key_file are needed together (steppe tls ca create, steppe tls cert create)")
	}
	return newTLS(region, role, func() (*identity, error) { return readIdentity(f) })
}

func newTLS(region string, role Role, load func() (*identity, error)) (*TLS, error) {
	t := &TLS{region: region, role: role, load: load}
	if err := t.Reload(); err != nil {
		return nil, err
	}
	return t, nil
}

func readIdentity(f Files) (*identity, error) {
	ca, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, fmt.Errorf("read ca_file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("read ca_file: %s holds no PEM certificate", f.CA)
	}
	cert, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, fmt.Errorf("read cert_file %s and key_file %s: %w", f.Cert, f.Key, err)
	}
	return &identity{cert: cert, roots: roots}, nil
}

// Reload reads the identity again. If it is unusable the old one stays.
func (t *TLS) Reload() error {
	id, err := t.load()
	if err != nil {
		return err
	}
	if id.cert.Leaf == nil {
		return errors.New("the certificate could not be parsed")
	}
	usage := x509.ExtKeyUsageClientAuth
	if t.role == RoleServer {
		usage = x509.ExtKeyUsageServerAuth
	}
	chain := make([]*x509.Certificate, 0, len(id.cert.Certificate))
	for _, der := range id.cert.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("parse certificate: %w", err)
		}
		chain = append(chain, c)
	}
	if err := t.verify(id, chain, usage, t.role); err != nil {
		return fmt.Errorf("this agent's own certificate can't be used: %w", err)
	}
	t.current.Store(id)
	return nil
}

// ServerConfig is the configuration for accepting connections: TLS 1.3, and a
// certificate that one of our authorities signed for a role in the region: the
// one that want names for the use, or a higher one.
func (t *TLS) ServerConfig(want func(alpn string) Role, alpn ...string) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             alpn,
		SessionTicketsDisabled: true, // every connection proves itself anew
		// The chain is verified below, against the authorities of this moment.
		ClientAuth: tls.RequireAnyClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &t.current.Load().cert, nil
		},
		VerifyConnection: func(cs tls.ConnectionState) error {
			if cs.NegotiatedProtocol == "" {
				return errors.New("the caller doesn't say what the connection is for")
			}
			return t.verify(t.current.Load(), cs.PeerCertificates, x509.ExtKeyUsageClientAuth, want(cs.NegotiatedProtocol))
		},
	}
}

// ClientConfig is the configuration for dialling a server of the region.
func (t *TLS) ClientConfig(alpn string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{alpn},
		ServerName: roleName(RoleServer, t.region, defaultDomain),
		// Go's own check knows one host name only; ours, below, verifies the
		// same chain and then the role.
		InsecureSkipVerify: true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &t.current.Load().cert, nil
		},
		VerifyConnection: func(cs tls.ConnectionState) error {
			if cs.NegotiatedProtocol != alpn {
				return fmt.Errorf("the server doesn't offer %s", alpn)
			}
			return t.verify(t.current.Load(), cs.PeerCertificates, x509.ExtKeyUsageServerAuth, RoleServer)
		},
	}
}

// verify checks a chain against id's authorities and its leaf for a role.
func (t *TLS) verify(id *identity, chain []*x509.Certificate, usage x509.ExtKeyUsage, want Role) error {
	if len(chain) == 0 {
		return errors.New("no certificate was shown")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: id.roots, Intermediates: between, CurrentTime: now(), KeyUsages: []x509.ExtKeyUsage{usage},
	})
	if err != nil {
		return fmt.Errorf("verify certificate: %w", err)
	}
	role, err := roleOf(chain[0], t.region)
	if err != nil {
		return err
	}
	if !role.may(want) {
		return fmt.Errorf("the certificate of %q is for a %s, this needs one for a %s", chain[0].Subject.CommonName, role, want)
	}
	return nil
}

// now is the machine's time: certificates and sockets live by no other.
func now() time.Time { return clock.Real{}.Now() }

// PeerRole tells what the other side of a connection may be.
func (t *TLS) PeerRole(cs tls.ConnectionState) (Role, error) {
	if len(cs.PeerCertificates) == 0 {
		return "", errors.New("the connection shows no certificate")
	}
	return roleOf(cs.PeerCertificates[0], t.region)
}
