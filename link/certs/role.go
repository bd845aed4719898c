package certs

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
)

// Role is what a certificate entitles its holder to be.
type Role string

// The roles. A server may do all that a client may.
const (
	RoleServer Role = "server"
	RoleClient Role = "client"
)

// may reports whether a holder of r may act as want.
func (r Role) may(want Role) bool { return r == want || r == RoleServer }

// roleDomains are the last labels of role names: our own, and the one under
// which certificates for the published agents are made.
func roleDomains() []string { return []string{defaultDomain, "nomad"} }

// defaultDomain ends the role names that our own tools write.
const defaultDomain = "steppe"

// roleName is the name in a certificate that makes its holder a role.
func roleName(role Role, region, domain string) string {
	return string(role) + "." + region + "." + domain
}

// roleOf reads the role of a certificate from its DNS names. A role counts in
// its own region only.
func roleOf(c *x509.Certificate, region string) (Role, error) {
	for _, role := range []Role{RoleServer, RoleClient} {
		for _, domain := range roleDomains() {
			if slices.Contains(c.DNSNames, roleName(role, region, domain)) {
				return role, nil
			}
		}
	}
	return "", fmt.Errorf("the certificate of %q carries no role in region %q: it names %s, and %s or %s is needed",
		c.Subject.CommonName, region, orNothing(c.DNSNames),
		roleName(RoleServer, region, defaultDomain), roleName(RoleClient, region, defaultDomain))
}

func orNothing(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}
