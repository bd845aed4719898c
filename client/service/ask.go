package service

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/steppe-run/steppe/structs"
)

// maxOutput is how much of a response is kept for people.
const maxOutput = 3 << 10

func newTarget(w Workload, c *structs.ServiceCheck, addr string) target {
	t := target{addr: addr, skipTLS: c.TLSSkipVerify}
	if c.Type != structs.CheckTypeHTTP {
		return t
	}
	scheme := c.Protocol
	if scheme == "" {
		scheme = "http"
	}
	t.url = scheme + "://" + addr
	if ref, err := url.Parse(w.Env.Replace(c.Path)); err == nil {
		t.url = (&url.URL{Scheme: scheme, Host: addr}).ResolveReference(&url.URL{Path: "/" + strings.TrimLeft(ref.Path, "/"), RawQuery: ref.RawQuery}).String()
	}
	t.method = w.Env.Replace(c.Method)
	if t.method == "" {
		t.method = http.MethodGet
	}
	t.body = w.Env.Replace(c.Body)
	t.header = make(map[string][]string, len(c.Header))
	for name, values := range c.Header {
		t.header[w.Env.Replace(name)] = w.Env.ReplaceAll(values)
	}
	return t
}

// ask probes once.
func (p *probe) ask(ctx context.Context) Outcome {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	if p.kind == structs.CheckTypeTCP {
		return askTCP(ctx, p.target.addr)
	}
	return askHTTP(ctx, p.target)
}

func askTCP(ctx context.Context, addr string) Outcome {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return Outcome{Output: err.Error()}
	}
	_ = conn.Close() // that it opened is all we wanted to know
	return Outcome{OK: true, Output: "connected to " + addr}
}

// askHTTP takes every answer below 400 for a good one; redirections are not
// followed.
func askHTTP(ctx context.Context, t target) Outcome {
	req, err := http.NewRequestWithContext(ctx, t.method, t.url, strings.NewReader(t.body))
	if err != nil {
		return Outcome{Output: err.Error()}
	}
	for name, values := range t.header {
		for _, value := range values {
			req.Header.Add(name, value)
		}
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: t.skipTLS}, // the job asks for it
	}
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return Outcome{Output: err.Error()}
	}
	defer func() { _ = resp.Body.Close() }() // only read
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxOutput))
	if err != nil {
		return Outcome{Code: resp.StatusCode, Output: err.Error()}
	}
	ok := resp.StatusCode < http.StatusBadRequest
	text := fmt.Sprintf("HTTP %s %s: %s", t.method, t.url, resp.Status)
	if !ok && len(body) > 0 {
		text += "\n" + strings.ToValidUTF8(string(body), "\uFFFD")
	}
	return Outcome{OK: ok, Code: resp.StatusCode, Output: text}
}
