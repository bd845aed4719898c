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
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority is a CA for tests.
type authority struct {
	t  testing.TB
	ca PEMPair
}

func newAuthority(t testing.TB, o CAOptions) *authority {
	t.Helper()
	ca, err := CreateCA(o)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t, ca}
}

// files writes a certificate as the tls block names it.
func (a *authority) files(o CertOptions) Files {
	a.t.Helper()
	pair, err := CreateCert(a.ca, o)
	if err != nil {
		a.t.Fatal(err)
	}
	dir := a.t.TempDir()
	f := Files{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	a.write(f, pair)
	return f
}

func (a *authority) write(f Files, pair PEMPair) {
	a.t.Helper()
	for path, content := range map[string][]byte{f.CA: a.ca.Cert, f.Cert: pair.Cert, f.Key: pair.Key} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
}

func (a *authority) tls(o CertOptions, role Role) *TLS {
	a.t.Helper()
	if o.Region == "" {
		o.Region = "global"
	}
	t, err := LoadTLS(a.files(o), o.Region, role)
	if err != nil {
		a.t.Fatal(err)
	}
	return t
}

// serveMux runs a port until the test ends.
func serveMux(t testing.TB, id *TLS, uses ...string) (*Mux, map[string]net.Listener) {
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
func reach(t testing.TB, addr string, id *TLS, use string, l net.Listener) error {
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
		return err // with TLS 1.3 a refusal is seen at the first read
	}
	return group.Wait()
}

func TestWhoIsLetIn(t *testing.T) {
	a, other := newAuthority(t, CAOptions{}), newAuthority(t, CAOptions{})
	server := a.tls(CertOptions{Name: "server"}, RoleServer)
	client := a.tls(CertOptions{Name: "client"}, RoleClient)
	named := a.tls(CertOptions{Name: "client", Domain: "nomad"}, RoleClient)
	mux, in := serveMux(t, server, ALPNRaft, ALPNSession)
	addr := mux.Addr().String()

	for _, c := range []struct {
		name string
		id   *TLS
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
	far := a.tls(CertOptions{Name: "server", Region: "europe"}, RoleServer)
	far.region = "global" // it believes the server, but isn't believed
	stranger := other.tls(CertOptions{Name: "server"}, RoleServer)
	stranger.current.Load().roots = server.current.Load().roots
	for _, c := range []struct {
		name, want string
		id         *TLS
		use        string
	}{
		{"a client may not write the log", "certificate", client, ALPNRaft},
		{"another authority's server", "", stranger, ALPNSession},
		{"another region's server", "", far, ALPNSession},
		{"a use that nobody offers", "", server, ALPNHTTP},
		{"a server that the caller's authority didn't sign", "verify certificate", other.tls(CertOptions{Name: "server"}, RoleServer), ALPNSession},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err := refused(ctx, addr, c.id, c.use)
		cancel()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// refused dials a port whose other side never answers a connection it let in.
func refused(ctx context.Context, addr string, id *TLS, use string) error {
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
	a := newAuthority(t, CAOptions{})
	server := a.tls(CertOptions{Name: "server"}, RoleServer)
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
	old, fresh := newAuthority(t, CAOptions{}), newAuthority(t, CAOptions{})
	f := old.files(CertOptions{Name: "server"})
	server, err := LoadTLS(f, "global", RoleServer)
	if err != nil {
		t.Fatal(err)
	}
	mux, in := serveMux(t, server, ALPNSession)
	node := fresh.tls(CertOptions{Name: "client"}, RoleClient)
	if err := refused(t.Context(), mux.Addr().String(), node, ALPNSession); err == nil {
		t.Fatal("a node of another authority was let in")
	}
	if err := os.WriteFile(f.Key, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := server.Reload(); err == nil {
		t.Error("a broken key was taken")
	}
	before := old.tls(CertOptions{Name: "client"}, RoleClient)
	if err := reach(t, mux.Addr().String(), before, ALPNSession, in[ALPNSession]); err != nil {
		t.Errorf("after a failed reload: %v", err)
	}
	pair, err := CreateCert(fresh.ca, CertOptions{Name: "server"})
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
	a := newAuthority(t, CAOptions{})
	good := a.files(CertOptions{Name: "client"})
	past := a.files(CertOptions{Name: "client", Days: 1, Now: time.Now().AddDate(0, 0, -3)})
	for name, c := range map[string]struct {
		f    Files
		role Role
		want string
	}{
		"incomplete":       {Files{CA: good.CA}, RoleClient, "needed together"},
		"missing":          {Files{good.CA, good.Cert + "x", good.Key}, RoleClient, "no such file"},
		"no authority":     {Files{good.Key, good.Cert, good.Key}, RoleClient, "no PEM certificate"},
		"wrong role":       {good, RoleServer, "is for a client"},
		"expired":          {past, RoleClient, "expired"},
		"command line's":   {a.files(CertOptions{Name: "cli"}), RoleClient, "no role"},
		"a foreign region": {a.files(CertOptions{Name: "client", Region: "eu"}), RoleClient, `no role in region "global"`},
	} {
		if _, err := LoadTLS(c.f, "global", c.role); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: want %q, got %v", name, c.want, err)
		}
	}
}

func TestNamesInCertificates(t *testing.T) {
	ca := newAuthority(t, CAOptions{Domain: "example", NameConstraint: true, AdditionalDomains: []string{"more"}}).ca
	pair, err := CreateCert(ca, CertOptions{
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
	outside, err := CreateCert(ca, CertOptions{Name: "server", DNSNames: []string{"x.elsewhere"}})
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
	for name, call := range map[string]func() (PEMPair, error){
		"a purpose that isn't":       func() (PEMPair, error) { return CreateCert(ca, CertOptions{Name: "root"}) },
		"a leaf as an authority":     func() (PEMPair, error) { return CreateCert(pair, CertOptions{Name: "server"}) },
		"another key":                func() (PEMPair, error) { return CreateCert(PEMPair{ca.Cert, pair.Key}, CertOptions{Name: "server"}) },
		"no PEM":                     func() (PEMPair, error) { return CreateCert(PEMPair{}, CertOptions{Name: "server"}) },
		"domains without constraint": func() (PEMPair, error) { return CreateCA(CAOptions{AdditionalDomains: []string{"x"}}) },
	} {
		if _, err := call(); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestAgentsOfOneMachineShareAnAuthority(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "steppe")
	const agents = 8
	ids := make([]*TLS, agents)
	var wg sync.WaitGroup
	for i := range agents {
		wg.Go(func() {
			var err error
			if ids[i], err = DevCA(dir, "global", RoleServer); err != nil {
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
	node, err := DevCA(dir, "global", RoleClient)
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
	path := filepath.Join(dir, devCAFile)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key is readable by %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := DevCA(dir, "global", RoleServer); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("a damaged authority: %v", err)
	}
}

func TestMayBind(t *testing.T) {
	for addr, free := range map[string]bool{
		"127.0.0.1:4647": true, "127.0.0.3:0": true, "localhost:4646": true, "[::1]:4647": true, "127.0.0.1": true,
		"0.0.0.0:4647": false, ":4647": false, "10.1.2.3:4647": false, "[::]:1": false, "example.com:1": false,
	} {
		if err := MayBind(addr, false); (err == nil) != free {
			t.Errorf("without certificates, %s: %v", addr, err)
		}
		if err := MayBind(addr, true); err != nil {
			t.Errorf("with certificates, %s: %v", addr, err)
		}
	}
}

func TestSlowHandshakesHinderNobody(t *testing.T) {
	a := newAuthority(t, CAOptions{})
	server := a.tls(CertOptions{Name: "server"}, RoleServer)
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
