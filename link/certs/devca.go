package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// devCAFile holds the shared authority, certificate and key in one file so
// that they can't come apart.
const devCAFile = "dev-ca.pem"

// devYears is how long the authority of a development machine lasts, and what
// it signs: nobody renews those.
const devYears = 10

// DevCA returns an identity from the certificate authority that is kept in
// dir, made there if it isn't yet. All agents that bind only to loopback share
// it; several may call it at once.
func DevCA(dir, region string, role Role) (*TLS, error) {
	ca, err := openDevCA(dir)
	if err != nil {
		return nil, fmt.Errorf("prepare the certificates of this machine in %s: %w", dir, err)
	}
	return newTLS(region, role, func() (*identity, error) {
		pair, err := CreateCert(ca, CertOptions{Name: string(role), Region: region, Days: devYears * 365})
		if err != nil {
			return nil, err
		}
		return newIdentity(ca.Cert, pair)
	})
}

func newIdentity(ca []byte, pair PEMPair) (*identity, error) {
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &identity{cert: cert, roots: roots}, nil
}

func openDevCA(dir string) (PEMPair, error) {
	path := filepath.Join(dir, devCAFile)
	ca, err := readDevCA(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return ca, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return PEMPair{}, err
	}
	if err := writeDevCA(dir, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return PEMPair{}, err
	}
	return readDevCA(path) // ours, or that of who was faster
}

// writeDevCA makes an authority and puts it in place whole or not at all; it
// fails with fs.ErrExist if another agent was faster.
func writeDevCA(dir, path string) error {
	ca, err := CreateCA(CAOptions{CommonName: "Steppe development CA of this machine", Days: devYears * 365})
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "dev-ca-*") // readable by its owner only
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // the link stays
	_, err = f.Write(append(ca.Cert, ca.Key...))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path)
}

func readDevCA(path string) (PEMPair, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return PEMPair{}, err
	}
	block, rest := pem.Decode(raw)
	if block == nil {
		return PEMPair{}, fmt.Errorf("%s is damaged: remove it, it will be made anew when all agents of this machine have stopped", path)
	}
	ca := PEMPair{Cert: pem.EncodeToMemory(block), Key: bytes.TrimSpace(rest)}
	cert, _, err := parsePair(ca)
	if err != nil {
		return PEMPair{}, fmt.Errorf("%s is damaged (%w): remove it, it will be made anew when all agents of this machine have stopped", path, err)
	}
	if now().After(cert.NotAfter) {
		return PEMPair{}, fmt.Errorf("%s has expired: remove it, it will be made anew when all agents of this machine have stopped", path)
	}
	return ca, nil
}
