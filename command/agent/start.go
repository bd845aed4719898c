package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/mitchellh/go-homedir"
	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/link/certs"
)

// errNothingToBe answers `agent` alone.
var errNothingToBe = errors.New("this agent was not told what to be: use -dev to try it out, or -config with a file that enables server, client or both")

// start configures and runs one agent until it is told to end.
func start(ctx context.Context, cmd *cli.Command, p Process) error {
	config, err := configure(cmd)
	if err != nil {
		return err
	}
	if cmd.NumFlags() == 0 {
		return errNothingToBe
	}
	if config.StateOwned {
		defer func() { _ = os.RemoveAll(config.DataDir) }() // best effort: a task may still hold files
	}
	settings, err := config.Settings()
	if err != nil {
		return fmt.Errorf("the configuration is not usable: %w", err)
	}
	level := new(slog.LevelVar)
	if err := setLevel(level, config.LogLevel); err != nil {
		return err
	}
	feed := newLogFeed(logx.New(p.Err, level, config.LogJSON).Handler())
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &assembly{config: config, settings: settings, process: p, logs: feed, logger: slog.New(feed)}
	a.reload = func() error { return a.readAgain(cmd, level) }
	if err := a.prepare(); err != nil {
		return explain(err)
	}
	return explain(a.run(ctx))
}

func setLevel(level *slog.LevelVar, text string) error {
	parsed, err := logx.ParseLevel(text)
	if err != nil {
		return err
	}
	level.Set(parsed)
	return nil
}

// prepare makes the data folder and reads the certificates.
func (a *assembly) prepare() error {
	if err := probeFolder(a.settings.DataDir); err != nil {
		return err
	}
	role := certs.RoleClient
	if a.config.Server.Enabled {
		role = certs.RoleServer
	}
	identity, err := a.identity(role)
	if err != nil {
		return err
	}
	a.tls = identity
	return nil
}

// identity is the agent's certificate: from files, or on loopback from the
// certificate authority of the user.
func (a *assembly) identity(role certs.Role) (*certs.TLS, error) {
	callersProven := a.config.TLS.HTTP && a.config.TLS.VerifyHTTPSClient || a.config.InsecureOpenAPI
	if err := certs.MayServe(a.settings.HTTPAddr, callersProven); err != nil {
		return nil, err
	}
	files := certs.Files{CA: a.config.TLS.CAFile, Cert: a.config.TLS.CertFile, Key: a.config.TLS.KeyFile}
	if files.Set() {
		return certs.LoadTLS(files, a.config.Region, role)
	}
	if a.config.Server.Enabled {
		for _, addr := range []string{a.settings.RPCAddr, a.settings.SerfAddr} {
			if err := certs.MayBind(addr); err != nil {
				return nil, err
			}
		}
	}
	home, err := homedir.Dir()
	if err != nil {
		return nil, fmt.Errorf("find the home folder for the shared certificate authority: %w", err)
	}
	return certs.DevCA(filepath.Join(home, ".steppe"), a.config.Region, role)
}

// readAgain reads the configuration again and takes over what can change while
// the agent runs: log level and certificates.
func (a *assembly) readAgain(cmd *cli.Command, level *slog.LevelVar) error {
	fresh, err := configure(cmd)
	if err != nil {
		return err
	}
	if fresh.StateOwned {
		if err := os.Remove(fresh.DataDir); err != nil {
			return fmt.Errorf("remove unused temporary folder: %w", err)
		}
	}
	if err := setLevel(level, fresh.LogLevel); err != nil {
		return err
	}
	if a.config.TLS.CertFile == "" {
		return nil
	}
	return a.tls.Reload()
}

// probeFolder makes sure that state can be written where it shall be.
func probeFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("data_dir %s can't be made: %w", dir, err)
	}
	probe, err := os.CreateTemp(dir, ".probe-")
	if err != nil {
		return fmt.Errorf("data_dir %s can't be written: %w", dir, err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// explain turns errors of the machine into a sentence that says what to do.
func explain(err error) error {
	var op *net.OpError
	if errors.Is(err, syscall.EADDRINUSE) && errors.As(err, &op) {
		return fmt.Errorf("the address %s is in use, perhaps by another agent: end that one, or set other ports in the configuration", op.Addr)
	}
	if errors.Is(err, syscall.EADDRNOTAVAIL) && errors.As(err, &op) {
		return fmt.Errorf("the address %s is none of this machine's: check bind_addr and addresses", op.Addr)
	}
	return err
}

func say(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format, args...) // a closed terminal is no reason to end
}

// secure puts TLS on the listener of the HTTP API, if the configuration says
// so. The certificate is that of the agent, and changes when it is reloaded.
func (a *assembly) secure(l net.Listener) (net.Listener, error) {
	block := a.config.TLS
	if !block.HTTP {
		return l, nil
	}
	out := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: a.tls.ServerConfig(func(string) certs.Role { return certs.RoleServer }).GetCertificate,
	}
	if block.VerifyHTTPSClient {
		text, err := os.ReadFile(block.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read tls.ca_file: %w", err)
		}
		out.ClientCAs = x509.NewCertPool()
		if !out.ClientCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("read tls.ca_file: %s holds no certificate", block.CAFile)
		}
		out.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return tls.NewListener(l, out), nil
}
