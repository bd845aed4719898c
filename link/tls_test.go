package link

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/link/certs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority is a CA for tests.
type authority struct {
	t  testing.TB
	ca certs.PEMPair
}

func newAuthority(t testing.TB, o certs.CAOptions) *authority {
	t.Helper()
	ca, err := certs.CreateCA(o)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t, ca}
}

// files writes a certificate as the tls block names it.
func (a *authority) files(o certs.CertOptions) certs.Files {
	a.t.Helper()
	pair, err := certs.CreateCert(a.ca, o)
	if err != nil {
		a.t.Fatal(err)
	}
	dir := a.t.TempDir()
	f := certs.Files{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	a.write(f, pair)
	return f
}

func (a *authority) write(f certs.Files, pair certs.PEMPair) {
	a.t.Helper()
	for path, content := range map[string][]byte{f.CA: a.ca.Cert, f.Cert: pair.Cert, f.Key: pair.Key} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
}

func (a *authority) tls(o certs.CertOptions, role certs.Role) *certs.TLS {
	a.t.Helper()
	if o.Region == "" {
		o.Region = "global"
	}
	t, err := certs.LoadTLS(a.files(o), o.Region, role)
	if err != nil {
		a.t.Fatal(err)
	}
	return t
}

// serveMux runs a port until the test ends.
func serveMux(t testing.TB, id *certs.TLS, uses ...string) (*Mux, map[string]net.Listener) {
	t.Helper()
	mux, err := Listen("127.0.0.1:0", id, logx.Discard())
	if err != nil {
		t.Fatal(err)
	}
	listeners := map[string]net.Listener{}
	for _, use := range uses {
		listeners[use] = mux.Listener(use)
	}
	group := loop.New(context.Background())
	group.Go("mux", mux.Run)
	t.Cleanup(func() {
		group.Stop()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	})
	return mux, listeners
}

// reach dials and exchanges one byte: an error means that the door is shut.
func reach(t testing.TB, addr string, id *certs.TLS, use string, l net.Listener) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	conn, err := Dial(ctx, addr, id, use)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	group := loop.New(ctx)
	group.Go("echo", func(context.Context) error {
		in, err := l.Accept()
		if err != nil {
			return err
		}
		defer func() { _ = in.Close() }()
		_, err = io.CopyN(in, in, 1)
		return err
	})
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := conn.Write([]byte{7}); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		return err // with certs.TLS 1.3 a refusal is seen at the first read
	}
	return group.Wait()
}

func TestWhoIsLetIn(t *testing.T) {
	a, other := newAuthority(t, certs.CAOptions{}), newAuthority(t, certs.CAOptions{})
	server := a.tls(certs.CertOptions{Name: "server"}, certs.RoleServer)
	client := a.tls(certs.CertOptions{Name: "client"}, certs.RoleClient)
	named := a.tls(certs.CertOptions{Name: "client", Domain: "nomad"}, certs.RoleClient)
	mux, in := serveMux(t, server, ALPNRaft, ALPNSession)
	addr := mux.Addr().String()

	for _, c := range []struct {
		name string
		id   *certs.TLS
		use  string
	}{
		{"a server's log", server, ALPNRaft},
		{"a server's session", server, ALPNSession},
		{"a client's session", client, ALPNSession},
		{"a client named the published way", named, ALPNSession},
	} {
		if err := reach(t, addr, c.id, c.use, in[c.use]); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, c := range []struct {
		name, want string
		id         *certs.TLS
		use        string
	}{
		{"a client may not write the log", "certificate", client, ALPNRaft},
		{"a use that nobody offers", "", server, ALPNHTTP},
		{"a server that the caller's authority didn't sign", "verify certificate", other.tls(certs.CertOptions{Name: "server"}, certs.RoleServer), ALPNSession},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err := refused(ctx, addr, c.id, c.use)
		cancel()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// They believe the server, but aren't believed.
	for name, f := range map[string]certs.Files{
		"another authority's server": other.files(certs.CertOptions{Name: "server"}),
		"another region's server":    a.files(certs.CertOptions{Name: "server", Region: "europe"}),
	} {
		if err := refusedWith(t, addr, f); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := refusedWith(t, addr, a.files(certs.CertOptions{Name: "server"})); err != nil {
		t.Errorf("who shows a right certificate was refused: %v", err)
	}
}

// refusedWith connects without looking at the server and returns how it
// refused, nil if it went on to listen.
func refusedWith(t *testing.T, addr string, f certs.Files) error {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", addr, &tls.Config{
		Certificates: []tls.Certificate{pair}, NextProtos: []string{ALPNSession}, MinVersion: tls.VersionTLS13, InsecureSkipVerify: true,
	})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // nothing was said
	if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err = conn.Read(make([]byte, 1))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// refused dials a port whose other side never answers a connection it let in.
func refused(ctx context.Context, addr string, id *certs.TLS, use string) error {
	conn, err := Dial(ctx, addr, id, use)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	_, err = conn.Read(make([]byte, 1))
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return nil // still open: it was let in
	}
	return err
}

func TestPlainAndOldSpeechIsRefused(t *testing.T) {
	a := newAuthority(t, certs.CAOptions{})
	server := a.tls(certs.CertOptions{Name: "server"}, certs.RoleServer)
	mux, _ := serveMux(t, server, ALPNSession)
	plain, err := net.Dial("tcp", mux.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = plain.Close() }()
	_ = plain.SetDeadline(time.Now().Add(4 * time.Second))
	if _, err := plain.Write([]byte("GET /v1/jobs HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(plain)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() || bytes.Contains(answer, []byte("HTTP")) {
		t.Errorf("plain text was answered with %q, %v", answer, err)
	}
	for name, change := range map[string]func(*tls.Config){
		"TLS 1.2":                func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 },
		"without a certificate":  func(c *tls.Config) { c.GetClientCertificate = nil },
		"without saying the use": func(c *tls.Config) { c.NextProtos = nil; c.VerifyConnection = nil },
	} {
		config := server.ClientConfig(ALPNSession)
		change(config)
		conn, err := tls.Dial("tcp", mux.Addr().String(), config)
		if err == nil {
			_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
			_, err = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
		if errors.As(err, &timeout) && timeout.Timeout() || err == nil {
			t.Errorf("%s was let in", name)
		}
	}
}

func TestCertificatesAreReloaded(t *testing.T) {
	old, fresh := newAuthority(t, certs.CAOptions{}), newAuthority(t, certs.CAOptions{})
	f := old.files(certs.CertOptions{Name: "server"})
	server, err := certs.LoadTLS(f, "global", certs.RoleServer)
	if err != nil {
		t.Fatal(err)
	}
	mux, in := serveMux(t, server, ALPNSession)
	node := fresh.tls(certs.CertOptions{Name: "client"}, certs.RoleClient)
	if err := refused(t.Context(), mux.Addr().String(), node, ALPNSession); err == nil {
		t.Fatal("a node of another authority was let in")
	}
	if err := os.WriteFile(f.Key, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := server.Reload(); err == nil {
		t.Error("a broken key was taken")
	}
	before := old.tls(certs.CertOptions{Name: "client"}, certs.RoleClient)
	if err := reach(t, mux.Addr().String(), before, ALPNSession, in[ALPNSession]); err != nil {
		t.Errorf("after a failed reload: %v", err)
	}
	pair, err := certs.CreateCert(fresh.ca, certs.CertOptions{Name: "server"})
	if err != nil {
		t.Fatal(err)
	}
	fresh.write(f, pair)
	if err := server.Reload(); err != nil {
		t.Fatal(err)
	}
	if err := reach(t, mux.Addr().String(), node, ALPNSession, in[ALPNSession]); err != nil {
		t.Errorf("after the reload: %v", err)
	}
}

func TestUnusableFiles(t *testing.T) {
	a := newAuthority(t, certs.CAOptions{})
	good := a.files(certs.CertOptions{Name: "client"})
	past := a.files(certs.CertOptions{Name: "client", Days: 1, Now: time.Now().AddDate(0, 0, -3)})
	for name, c := range map[string]struct {
		f    certs.Files
		role certs.Role
		want string
	}{
		"incomplete":       {certs.Files{CA: good.CA}, certs.RoleClient, "needed together"},
		"missing":          {certs.Files{CA: good.CA, Cert: good.Cert + "x", Key: good.Key}, certs.RoleClient, "no such file"},
		"no authority":     {certs.Files{CA: good.Key, Cert: good.Cert, Key: good.Key}, certs.RoleClient, "no PEM certificate"},
		"wrong role":       {good, certs.RoleServer, "is for a client"},
		"expired":          {past, certs.RoleClient, "expired"},
		"command line's":   {a.files(certs.CertOptions{Name: "cli"}), certs.RoleClient, "no role"},
		"a foreign region": {a.files(certs.CertOptions{Name: "client", Region: "eu"}), certs.RoleClient, `no role in region "global"`},
	} {
		if _, err := certs.LoadTLS(c.f, "global", c.role); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: want %q, got %v", name, c.want, err)
		}
	}
}

func TestNamesInCertificates(t *testing.T) {
	ca := newAuthority(t, certs.CAOptions{Domain: "example", NameConstraint: true, AdditionalDomains: []string{"more"}}).ca
	pair, err := certs.CreateCert(ca, certs.CertOptions{
		Name: "server", Region: "eu", Domain: "example", DNSNames: []string{"x.more"}, IPs: []net.IP{net.ParseIP("10.0.0.1")},
	})
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(pair.Cert)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"server.eu.example", "server.eu.steppe", "localhost", "x.more", "127.0.0.1", "10.0.0.1"} {
		if err := cert.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.Cert)
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots}); err != nil {
		t.Error(err)
	}
	outside, err := certs.CreateCert(ca, certs.CertOptions{Name: "server", DNSNames: []string{"x.elsewhere"}})
	if err != nil {
		t.Fatal(err)
	}
	block, _ = pem.Decode(outside.Cert)
	cert, err = x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots}); err == nil {
		t.Error("the name constraint doesn't bind")
	}
	for name, call := range map[string]func() (certs.PEMPair, error){
		"a purpose that isn't":   func() (certs.PEMPair, error) { return certs.CreateCert(ca, certs.CertOptions{Name: "root"}) },
		"a leaf as an authority": func() (certs.PEMPair, error) { return certs.CreateCert(pair, certs.CertOptions{Name: "server"}) },
		"another key": func() (certs.PEMPair, error) {
			return certs.CreateCert(certs.PEMPair{Cert: ca.Cert, Key: pair.Key}, certs.CertOptions{Name: "server"})
		},
		"no PEM": func() (certs.PEMPair, error) {
			return certs.CreateCert(certs.PEMPair{}, certs.CertOptions{Name: "server"})
		},
		"domains without constraint": func() (certs.PEMPair, error) {
			return certs.CreateCA(certs.CAOptions{AdditionalDomains: []string{"x"}})
		},
	} {
		if _, err := call(); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestAgentsOfOneMachineShareAnAuthority(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "steppe")
	const agents = 8
	ids := make([]*certs.TLS, agents)
	var wg sync.WaitGroup
	for i := range agents {
		wg.Go(func() {
			var err error
			if ids[i], err = certs.DevCA(dir, "global", certs.RoleServer); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	mux, in := serveMux(t, ids[0], ALPNSession)
	for _, id := range ids[1:] {
		if err := reach(t, mux.Addr().String(), id, ALPNSession, in[ALPNSession]); err != nil {
			t.Error(err)
		}
	}
	node, err := certs.DevCA(dir, "global", certs.RoleClient)
	if err != nil {
		t.Fatal(err)
	}
	if err := reach(t, mux.Addr().String(), node, ALPNSession, in[ALPNSession]); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("the directory holds %v, %v", left, err)
	}
	path := filepath.Join(dir, "dev-ca.pem")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key is readable by %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := certs.DevCA(dir, "global", certs.RoleServer); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("a damaged authority: %v", err)
	}
}

func TestMayBind(t *testing.T) {
	for addr, free := range map[string]bool{
		"127.0.0.1:4647": true, "127.0.0.3:0": true, "localhost:4646": true, "[::1]:4647": true, "127.0.0.1": true,
		"0.0.0.0:4647": false, ":4647": false, "10.1.2.3:4647": false, "[::]:1": false, "example.com:1": false,
	} {
		if err := certs.MayBind(addr); (err == nil) != free {
			t.Errorf("without certificates, %s: %v", addr, err)
		}
		if err := certs.MayServe(addr, false); (err == nil) != free {
			t.Errorf("an API for strangers, %s: %v", addr, err)
		}
		if err := certs.MayServe(addr, true); err != nil {
			t.Errorf("an API for callers with certificates, %s: %v", addr, err)
		}
	}
}

func TestSlowHandshakesHinderNobody(t *testing.T) {
	a := newAuthority(t, certs.CAOptions{})
	server := a.tls(certs.CertOptions{Name: "server"}, certs.RoleServer)
	mux, in := serveMux(t, server, ALPNSession)
	for range 50 { // they say nothing
		idle, err := net.Dial("tcp", mux.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = idle.Close() }()
	}
	testx.Eventually(t, 2*time.Second, "another gets through", func() bool {
		return reach(t, mux.Addr().String(), server, ALPNSession, in[ALPNSession]) == nil
	})
}
