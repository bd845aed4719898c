// Package certs holds the verbs that make certificates for agents.
//
// It must not talk to an agent: everything happens in local files. Begin
// reading at Command.
package certs

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/link/certs"
)

// domainMark is replaced by the domain in default file names.
const domainMark = "#DOMAIN#"

// Command returns the group `tls`.
func Command(s term.Streams) *cli.Command {
	return &cli.Command{Name: "tls", Usage: "make certificates for agents", Commands: []*cli.Command{
		{Name: "ca", Usage: "the certificate authority", Commands: []*cli.Command{caCreate(s), info(s, "<ca file>")}},
		{Name: "cert", Usage: "certificates", Commands: []*cli.Command{certCreate(s), info(s, "<cert file>")}},
	}}
}

// kindTitles are the kinds of certificates as people write them.
var kindTitles = map[string]string{"server": "Server", "client": "Client", "cli": "Cli"}

func caCreate(s term.Streams) *cli.Command {
	return &cli.Command{
		Name: "create", Usage: "make a certificate authority: #DOMAIN#-agent-ca.pem and its key",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "additional-domain", Usage: "with -name-constraint: one more `domain` (repeatable)"},
			&cli.IntFlag{Name: "days", Usage: "`days` it is valid", Value: 1825},
			&cli.BoolFlag{Name: "name-constraint", Usage: "only for the domains"},
			&cli.StringFlag{Name: "domain", Usage: "`domain` of the names", Value: "steppe"},
			&cli.StringFlag{Name: "common-name"}, &cli.StringFlag{Name: "country"}, &cli.StringFlag{Name: "postal-code"},
			&cli.StringFlag{Name: "province"}, &cli.StringFlag{Name: "locality"}, &cli.StringFlag{Name: "street-address"},
			&cli.StringFlag{Name: "organization"}, &cli.StringFlag{Name: "organizational-unit"},
		},
		Action: func(_ context.Context, cmd *cli.Command) error {
			domain := cmd.String("domain")
			pair, err := certs.CreateCA(certs.CAOptions{
				Domain: domain, AdditionalDomains: cmd.StringSlice("additional-domain"), NameConstraint: cmd.Bool("name-constraint"),
				CommonName: cmd.String("common-name"), Country: cmd.String("country"), PostalCode: cmd.String("postal-code"),
				Province: cmd.String("province"), Locality: cmd.String("locality"), StreetAddress: cmd.String("street-address"),
				Organization: cmd.String("organization"), OrganizationalUnit: cmd.String("organizational-unit"), Days: cmd.Int("days"),
			})
			if err != nil {
				return term.Fail("Error creating certificate authority: %v", err)
			}
			base := domain + "-agent-ca"
			if err := save(base+".pem", base+"-key.pem", pair); err != nil {
				return err
			}
			s.Printf("==> CA certificate saved to: %s.pem\n==> CA certificate key saved to: %s-key.pem\n", base, base)
			return nil
		},
	}
}

func certCreate(s term.Streams) *cli.Command {
	return &cli.Command{
		Name: "create", Usage: "make a certificate for a server, a client or the command line",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "server", Usage: "for a server"}, &cli.BoolFlag{Name: "client", Usage: "for a client"},
			&cli.BoolFlag{Name: "cli", Usage: "for the command line"},
			&cli.StringSliceFlag{Name: "additional-dnsname", Usage: "one more `name` (repeatable)"},
			&cli.StringSliceFlag{Name: "additional-ipaddress", Usage: "one more `address` (repeatable)"},
			&cli.StringFlag{Name: "ca", Usage: "`file` of the certificate authority", Value: domainMark + "-agent-ca.pem"},
			&cli.StringFlag{Name: "key", Usage: "`file` of its key", Value: domainMark + "-agent-ca-key.pem"},
			&cli.IntFlag{Name: "days", Usage: "`days` it is valid", Value: 365},
			&cli.StringFlag{Name: "domain", Usage: "`domain` of the names", Value: "steppe"},
			&cli.StringFlag{Name: "region", Usage: "`name` of the region", Value: "global"},
		},
		Action: func(_ context.Context, cmd *cli.Command) error { return createCert(cmd, s) },
	}
}

func createCert(cmd *cli.Command, s term.Streams) error {
	kind := ""
	for _, k := range []string{"server", "client", "cli"} {
		if cmd.Bool(k) && kind != "" {
			return term.Fail("Choose one of -server, -client and -cli")
		}
		if cmd.Bool(k) {
			kind = k
		}
	}
	if kind == "" {
		return term.Fail("Choose one of -server, -client and -cli")
	}
	domain, region := cmd.String("domain"), cmd.String("region")
	ca, err := load(strings.ReplaceAll(cmd.String("ca"), domainMark, domain), strings.ReplaceAll(cmd.String("key"), domainMark, domain))
	if err != nil {
		return err
	}
	options := certs.CertOptions{Name: kind, Region: region, Domain: domain, DNSNames: cmd.StringSlice("additional-dnsname"), Days: cmd.Int("days")}
	for _, text := range cmd.StringSlice("additional-ipaddress") {
		ip := net.ParseIP(text)
		if ip == nil {
			return term.Fail("-additional-ipaddress %q is not an IP address", text)
		}
		options.IPs = append(options.IPs, ip)
	}
	pair, err := certs.CreateCert(ca, options)
	if err != nil {
		return term.Fail("Error creating certificate: %v", err)
	}
	base := fmt.Sprintf("%s-%s-%s", region, kind, domain)
	if err := save(base+".pem", base+"-key.pem", pair); err != nil {
		return err
	}
	s.Printf("==> %[1]s Certificate saved to %[2]s.pem\n==> %[1]s Certificate key saved to %[2]s-key.pem\n", kindTitles[kind], base)
	return nil
}

// save writes a pair; a file that exists is never overwritten.
func save(certPath, keyPath string, pair certs.PEMPair) error {
	for _, f := range []struct {
		path string
		data []byte
		mode os.FileMode
	}{{keyPath, pair.Key, 0o600}, {certPath, pair.Cert, 0o644}} {
		out, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.mode)
		if os.IsExist(err) {
			return term.Fail("%s exists already: move it away first", f.path)
		}
		if err != nil {
			return term.Fail("Error writing %s: %v", f.path, err)
		}
		_, err = out.Write(f.data)
		if err = errors.Join(err, out.Close()); err != nil {
			return term.Fail("Error writing %s: %v", f.path, err)
		}
	}
	return nil
}

func load(certPath, keyPath string) (certs.PEMPair, error) {
	cert, err := os.ReadFile(certPath)
	if err != nil {
		return certs.PEMPair{}, term.Fail("Error reading CA: %v", err)
	}
	key, err := os.ReadFile(keyPath)
	if err != nil {
		return certs.PEMPair{}, term.Fail("Error reading CA key: %v", err)
	}
	return certs.PEMPair{Cert: cert, Key: key}, nil
}

func info(s term.Streams, arg string) *cli.Command {
	return &cli.Command{
		Name: "info", Usage: "show what a certificate says", ArgsUsage: arg,
		Action: func(_ context.Context, cmd *cli.Command) error {
			if cmd.Args().Len() != 1 {
				return term.Fail("This command takes one argument: %s", arg)
			}
			data, err := os.ReadFile(cmd.Args().First())
			if err != nil {
				return term.Fail("Error reading certificate: %v", err)
			}
			block, _ := pem.Decode(data)
			if block == nil {
				return term.Fail("%s holds no certificate", cmd.Args().First())
			}
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return term.Fail("Error reading certificate: %v", err)
			}
			s.Printf("%s", describe(cert))
			return nil
		},
	}
}

func describe(c *x509.Certificate) string {
	ips := make([]string, len(c.IPAddresses))
	for i, ip := range c.IPAddresses {
		ips[i] = ip.String()
	}
	return view.Keys([]view.Pair{
		{Key: "Subject", Value: c.Subject.String()}, {Key: "Issuer", Value: c.Issuer.String()}, {Key: "Serial Number", Value: c.SerialNumber.String()},
		{Key: "Not Before", Value: view.Time(c.NotBefore)}, {Key: "Not After", Value: view.Time(c.NotAfter)},
		{Key: "CA", Value: view.Bool(c.IsCA)}, {Key: "DNS Names", Value: strings.Join(c.DNSNames, ", ")}, {Key: "IP Addresses", Value: strings.Join(ips, ", ")},
	})
}
