package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"
)

// PEMPair is a certificate and its private key as PEM.
type PEMPair struct{ Cert, Key []byte }

// CAOptions says what a new certificate authority looks like.
type CAOptions struct {
	// Domain is the last label of the names it is for; empty means "steppe".
	Domain            string
	AdditionalDomains []string
	// NameConstraint limits the authority to its domains.
	NameConstraint bool
	// Subject; CommonName empty means one made from the domain.
	CommonName, Country, PostalCode, Province, Locality, StreetAddress string
	Organization, OrganizationalUnit                                   string
	// Days it is valid; 0 means five years.
	Days int
	// Now is when it begins; zero means this moment.
	Now time.Time
}

// CertOptions says what a new certificate is for.
type CertOptions struct {
	// Name is server, client or cli.
	Name string
	// Region and Domain make the role's name; empty means "global" and
	// "steppe". The name under our own domain is always there too.
	Region, Domain string
	// DNSNames and IPs come on top of localhost and 127.0.0.1.
	DNSNames []string
	IPs      []net.IP
	// Days it is valid; 0 means one year.
	Days int
	// Now is when it begins; zero means this moment.
	Now time.Time
}

// CreateCA makes a certificate authority (ECDSA P-256).
func CreateCA(o CAOptions) (PEMPair, error) {
	domain := orDefault(o.Domain, defaultDomain)
	name := o.CommonName
	if name == "" {
		name = fmt.Sprintf("Steppe Agent CA (%s)", domain)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{
			CommonName: name, Country: list(o.Country), PostalCode: list(o.PostalCode), Province: list(o.Province),
			Locality: list(o.Locality), StreetAddress: list(o.StreetAddress),
			Organization: list(o.Organization), OrganizationalUnit: list(o.OrganizationalUnit),
		},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	setValidity(template, o.Now, o.Days, 5*365)
	if o.NameConstraint {
		template.PermittedDNSDomainsCritical = true
		template.PermittedDNSDomains = unique(append([]string{domain, defaultDomain, "localhost"}, o.AdditionalDomains...))
	} else if len(o.AdditionalDomains) > 0 {
		return PEMPair{}, errors.New("additional domains only mean something together with a name constraint")
	}
	pair, err := sign(template, nil, nil)
	if err != nil {
		return PEMPair{}, fmt.Errorf("create certificate authority: %w", err)
	}
	return pair, nil
}

// CreateCert makes a certificate signed by ca.
func CreateCert(ca PEMPair, o CertOptions) (PEMPair, error) {
	parent, key, err := parsePair(ca)
	if err != nil {
		return PEMPair{}, fmt.Errorf("read certificate authority: %w", err)
	}
	if !parent.IsCA {
		return PEMPair{}, errors.New("read certificate authority: the certificate is not one of an authority")
	}
	template, err := certTemplate(o)
	if err != nil {
		return PEMPair{}, err
	}
	pair, err := sign(template, parent, key)
	if err != nil {
		return PEMPair{}, fmt.Errorf("create certificate: %w", err)
	}
	return pair, nil
}

func certTemplate(o CertOptions) (*x509.Certificate, error) {
	region, domain := orDefault(o.Region, "global"), orDefault(o.Domain, defaultDomain)
	switch o.Name {
	case string(RoleServer), string(RoleClient), "cli":
	default:
		return nil, fmt.Errorf("create certificate: %q is no purpose, use server, client or cli", o.Name)
	}
	name := roleName(Role(o.Name), region, domain)
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		DNSNames:              unique(append([]string{name, roleName(Role(o.Name), region, defaultDomain), "localhost"}, o.DNSNames...)),
		IPAddresses:           append([]net.IP{net.IPv4(127, 0, 0, 1)}, o.IPs...),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if o.Name == "cli" {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	setValidity(template, o.Now, o.Days, 365)
	return template, nil
}

func setValidity(c *x509.Certificate, begin time.Time, days, defaultDays int) {
	if begin.IsZero() {
		begin = now()
	}
	if days == 0 {
		days = defaultDays
	}
	c.NotBefore = begin.Add(-time.Minute) // clocks differ a little
	c.NotAfter = begin.AddDate(0, 0, days)
}

// sign makes a key and a certificate for it; without a parent it signs itself.
func sign(template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (PEMPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return PEMPair{}, err
	}
	var serial [15]byte
	_, _ = rand.Read(serial[:]) // crypto/rand.Read never returns an error since Go 1.24
	template.SerialNumber = new(big.Int).SetBytes(serial[:])
	if template.SubjectKeyId, err = keyID(key); err != nil {
		return PEMPair{}, err
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return PEMPair{}, err
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return PEMPair{}, err
	}
	return PEMPair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}),
	}, nil
}

func keyID(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	return sum[:20], nil
}

func parsePair(p PEMPair) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(p.Cert)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, nil, errors.New("the certificate is no PEM certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("parse certificate: %w", err)
	}
	block, _ = pem.Decode(p.Key)
	if block == nil {
		return nil, nil, errors.New("the key is no PEM key")
	}
	key, err := parseKey(block)
	if err != nil {
		return nil, nil, err
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, nil, errors.New("the key doesn't belong to the certificate")
	}
	return cert, key, nil
}

func parseKey(block *pem.Block) (*ecdsa.PrivateKey, error) {
	if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse key: %w", err)
	}
	key, ok := any.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("parse key: it is a %T, only ECDSA keys can sign here", any)
	}
	return key, nil
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func unique(names []string) []string {
	var out []string
	for _, n := range names {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}
