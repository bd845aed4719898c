// Package api is a typed Go client of the public HTTP API, for programs and
// for the command line. It speaks the nouns of package structs.
//
// It must not know how a server is built. Begin reading at Client.
package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// DefaultAddress is where a local agent listens.
const DefaultAddress = "http://127.0.0.1:4646"

// maxErrorBytes bounds how much of an error answer is kept.
const maxErrorBytes = 64 << 10

// Config says how to reach an agent. The zero value means a local one.
type Config struct {
	Address   string
	Region    string
	Namespace string
	// Token authenticates the caller.
	Token string
	TLS   TLSConfig
}

// TLSConfig names the files for an agent that speaks HTTPS.
type TLSConfig struct {
	CACert, CAPath, ClientCert, ClientKey, ServerName string
	Insecure                                          bool
}

// FromEnv reads STEPPE_ADDR, STEPPE_REGION, STEPPE_NAMESPACE, STEPPE_TOKEN and
// the TLS variables; each is also read with the prefix NOMAD_.
func FromEnv(getenv func(string) string) Config {
	get := func(name string) string {
		if v := getenv("STEPPE_" + name); v != "" {
			return v
		}
		return getenv("NOMAD_" + name)
	}
	insecure, _ := strconv.ParseBool(get("SKIP_VERIFY")) // anything else means no
	return Config{
		Address: get("ADDR"), Region: get("REGION"), Namespace: get("NAMESPACE"), Token: get("TOKEN"),
		TLS: TLSConfig{
			CACert: get("CACERT"), CAPath: get("CAPATH"), ClientCert: get("CLIENT_CERT"), ClientKey: get("CLIENT_KEY"),
			ServerName: get("TLS_SERVER_NAME"), Insecure: insecure,
		},
	}
}

// Client talks to one agent. It is safe for concurrent use.
type Client struct {
	cfg  Config
	base *url.URL
	http *http.Client
}

// New returns a client; it does not connect yet.
func New(cfg Config) (*Client, error) {
	if cfg.Address == "" {
		cfg.Address = DefaultAddress
	}
	if !strings.Contains(cfg.Address, "://") {
		cfg.Address = "http://" + cfg.Address
	}
	base, err := url.Parse(strings.TrimSuffix(cfg.Address, "/"))
	if err != nil || base.Host == "" && base.Scheme != "unix" {
		return nil, fmt.Errorf("address %q is not a URL like %s", cfg.Address, DefaultAddress)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	switch base.Scheme {
	case "http":
	case "https":
		if transport.TLSClientConfig, err = cfg.TLS.load(); err != nil {
			return nil, err
		}
	case "unix":
		transport.Proxy, transport.DialContext = nil, dialUnix(base.Path)
		base = &url.URL{Scheme: "http", Host: "localhost"}
	default:
		return nil, fmt.Errorf("address %q begins with %s: use http, https or unix", cfg.Address, base.Scheme)
	}
	return &Client{cfg: cfg, base: base, http: &http.Client{Transport: transport}}, nil
}

// Config returns what the client was made with.
func (c *Client) Config() Config { return c.cfg }

// Address is the agent's base URL.
func (c *Client) Address() string { return c.base.String() }

// dialUnix connects to a socket in the file system, whatever host is asked.
func dialUnix(path string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
}

func (t TLSConfig) load() (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.Insecure}
	var err error
	if out.RootCAs, err = t.authorities(); err != nil {
		return nil, err
	}
	if t.ClientCert != "" || t.ClientKey != "" {
		pair, err := tls.LoadX509KeyPair(t.ClientCert, t.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("read client certificate: %w", err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}

// authorities reads the certificates to trust; nil means those of the system.
func (t TLSConfig) authorities() (*x509.CertPool, error) {
	var files []string
	if t.CACert != "" {
		files = append(files, t.CACert)
	}
	if t.CAPath != "" {
		found, err := os.ReadDir(t.CAPath)
		if err != nil {
			return nil, fmt.Errorf("read certificate authorities: %w", err)
		}
		for _, f := range found {
			files = append(files, filepath.Join(t.CAPath, f.Name()))
		}
	}
	if len(files) == 0 {
		return nil, nil
	}
	pool := x509.NewCertPool()
	for _, f := range files {
		pem, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("read certificate authority: %w", err)
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read certificate authority: %s holds no certificate", f)
		}
	}
	return pool, nil
}

// ConnectError means that no agent answered at all.
type ConnectError struct {
	Address string
	Err     error
}

// Error says what happened and what to try.
func (e *ConnectError) Error() string {
	return fmt.Sprintf("can't reach an agent at %s: %v (is it running? -address or STEPPE_ADDR names another)", e.Address, e.Err)
}

// Unwrap returns what the network said.
func (e *ConnectError) Unwrap() error { return e.Err }

// connectError recognizes failures to connect.
func (c *Client) connectError(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return &ConnectError{Address: c.cfg.Address, Err: op.Err}
	}
	return fmt.Errorf("ask %s: %w", c.base.Host, err)
}

// StatusError is an answer other than success.
type StatusError struct {
	Code int
	Body string
}

// Error has the form that tools match on.
func (e *StatusError) Error() string {
	return fmt.Sprintf("Unexpected response code: %d (%s)", e.Code, strings.TrimSpace(e.Body))
}

// Query holds the options of a read; the zero value asks for all, at once.
type Query struct {
	Region    string
	Namespace string // "*" for all
	Prefix    string
	Filter    string
	Stale     bool
	// WaitIndex makes the read block until the state has a higher index.
	WaitIndex uint64
	WaitTime  time.Duration
	PerPage   int
	NextToken string
	Reverse   bool
	// Params are further parameters of one route.
	Params map[string]string
}

// Meta is what an answer's headers say.
type Meta struct {
	Index       uint64
	KnownLeader bool
	LastContact time.Duration
	NextToken   string
}

func (c *Client) values(q *Query) url.Values {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	set("region", c.cfg.Region)
	set("namespace", c.cfg.Namespace)
	if q == nil {
		return v
	}
	set("region", q.Region)
	set("namespace", q.Namespace)
	set("prefix", q.Prefix)
	set("filter", q.Filter)
	set("next_token", q.NextToken)
	if q.Stale {
		v.Set("stale", "")
	}
	if q.WaitIndex > 0 {
		v.Set("index", strconv.FormatUint(q.WaitIndex, 10))
	}
	if q.WaitTime > 0 {
		v.Set("wait", q.WaitTime.String())
	}
	if q.PerPage > 0 {
		v.Set("per_page", strconv.Itoa(q.PerPage))
	}
	if q.Reverse {
		v.Set("reverse", "true")
	}
	for name, value := range q.Params {
		v.Set(name, value)
	}
	return v
}

// call sends one request; the caller closes the answer's body.
func (c *Client) call(ctx context.Context, method, path string, v url.Values, body io.Reader) (*http.Response, error) {
	target := c.base.String() + path
	if len(v) > 0 {
		target += "?" + v.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	if c.cfg.Token != "" {
		req.Header.Set("X-Nomad-Token", c.cfg.Token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.connectError(err)
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }() // the answer was read
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBytes))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	return nil, &StatusError{Code: resp.StatusCode, Body: string(text)}
}

// Get reads path into out.
func (c *Client) Get(ctx context.Context, path string, q *Query, out any) (*Meta, error) {
	resp, err := c.call(ctx, http.MethodGet, path, c.values(q), nil)
	if err != nil {
		return nil, err
	}
	return finish(resp, out)
}

// Put sends in to path and reads the answer into out, if not nil.
func (c *Client) Put(ctx context.Context, path string, q *Query, in, out any) (*Meta, error) {
	return c.send(ctx, http.MethodPut, path, q, in, out)
}

// Delete removes path and reads the answer into out, if not nil.
func (c *Client) Delete(ctx context.Context, path string, q *Query, out any) (*Meta, error) {
	return c.send(ctx, http.MethodDelete, path, q, nil, out)
}

func (c *Client) send(ctx context.Context, method, path string, q *Query, in, out any) (*Meta, error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	resp, err := c.call(ctx, method, path, c.values(q), body)
	if err != nil {
		return nil, err
	}
	return finish(resp, out)
}

func finish(resp *http.Response, out any) (*Meta, error) {
	defer func() { _ = resp.Body.Close() }() // the answer was read
	meta := metaOf(resp.Header)
	if out == nil {
		return meta, nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("decode answer: %w", err)
	}
	return meta, nil
}

func metaOf(h http.Header) *Meta {
	index, _ := strconv.ParseUint(h.Get("X-Nomad-Index"), 10, 64)        // absent on some routes
	contact, _ := strconv.ParseInt(h.Get("X-Nomad-LastContact"), 10, 64) // as above
	return &Meta{
		Index: index, KnownLeader: h.Get("X-Nomad-KnownLeader") == "true",
		LastContact: time.Duration(contact) * time.Millisecond, NextToken: h.Get("X-Nomad-NextToken"),
	}
}

// segment escapes one part of a path; job ids may hold slashes.
func segment(s string) string { return url.PathEscape(s) }

// Close gives up the connections that are kept for further requests.
func (c *Client) Close() { c.http.CloseIdleConnections() }
