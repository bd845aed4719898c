package link

import (
	"errors"
	"net"
	"time"
)

// PEMPair is a certificate and its private key as PEM.
type PEMPair struct{ Cert, Key []byte }

// CAOptions says what a new certificate authority looks like.
type CAOptions struct {
	// Domain is the last label of the names it is for; empty means "steppe".
	Domain            string
	AdditionalDomains []string
	NameConstraint    bool
	// Subject; CommonName empty means one made from the domain.
	CommonName, Country, PostalCode, Province, Locality, StreetAddress string
	Organization, OrganizationalUnit                                  string
	Days                                                              int
	Now                                                               time.Time
}

// CreateCA makes a certificate authority (ECDSA P-256).
func CreateCA(o CAOptions) (PEMPair, error) {
	return PEMPair{}, errors.New("create certificate authority: not written yet")
}

// CertOptions says what a new certificate is for.
type CertOptions struct {
	// Name is server, client or cli.
	Name           string
	Region, Domain string
	DNSNames       []string
	IPs            []net.IP
	Days           int
	Now            time.Time
}

// CreateCert makes a certificate signed by ca.
func CreateCert(ca PEMPair, o CertOptions) (PEMPair, error) {
	return PEMPair{}, errors.New("create certificate: not written yet")
}
