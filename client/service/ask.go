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

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/steppe-run/steppe/structs"
)

const (
	// maxOutput is how much of a response is kept for people.
	maxOutput = 3 << 10
	// maxHeader is how much header a response may have.
	maxHeader = 64 << 10
)

// target is where and how a check asks.
type target struct {
	addr       string
	url        string
	method     string
	header     map[string][]string
	body       string
	service    string   // asked for by name, of a gRPC server
	command    []string // as the job has it: the task's environment is put in when it runs
	useTLS     bool
	skipTLS    bool
	serverName string
}

func newTarget(w Workload, c *structs.ServiceCheck, addr string) target {
	t := target{addr: addr, skipTLS: c.TLSSkipVerify, serverName: w.Env.Replace(c.TLSServerName)}
	switch c.Type {
	case structs.CheckTypeHTTP:
		t.fillHTTP(w, c)
	case structs.CheckTypeGRPC:
		t.service, t.useTLS = w.Env.Replace(c.GRPCService), c.GRPCUseTLS
	case structs.CheckTypeScript:
		t.command = append([]string{c.Command}, c.Args...)
	}
	return t
}

func (t *target) fillHTTP(w Workload, c *structs.ServiceCheck) {
	scheme := firstOf(c.Protocol, "http")
	t.url = scheme + "://" + t.addr
	if ref, err := url.Parse(w.Env.Replace(c.Path)); err == nil {
		t.url = (&url.URL{Scheme: scheme, Host: t.addr}).ResolveReference(&url.URL{Path: "/" + strings.TrimLeft(ref.Path, "/"), RawQuery: ref.RawQuery}).String()
	}
	t.method = firstOf(w.Env.Replace(c.Method), http.MethodGet)
	t.body = w.Env.Replace(c.Body)
	t.header = make(map[string][]string, len(c.Header))
	for name, values := range c.Header {
		t.header[w.Env.Replace(name)] = w.Env.ReplaceAll(values)
	}
}

func (t *target) tls() *tls.Config {
	return &tls.Config{InsecureSkipVerify: t.skipTLS, ServerName: t.serverName} // the job asks for it
}

// ask probes once.
func (p *probe) ask(ctx context.Context) Outcome {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	switch p.kind {
	case structs.CheckTypeTCP:
		return askTCP(ctx, p.target.addr)
	case structs.CheckTypeGRPC:
		return askGRPC(ctx, p.target)
	case structs.CheckTypeScript:
		return p.askScript(ctx)
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
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: t.tls(), MaxResponseHeaderBytes: maxHeader}
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

// askGRPC asks a server by the standard protocol for health.
func askGRPC(ctx context.Context, t target) Outcome {
	creds := insecure.NewCredentials()
	if t.useTLS {
		creds = credentials.NewTLS(t.tls())
	}
	conn, err := grpc.NewClient("passthrough:///"+t.addr, grpc.WithTransportCredentials(creds), grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxHeader)), grpc.WithMaxHeaderListSize(maxHeader))
	if err != nil {
		return Outcome{Output: err.Error()}
	}
	defer func() { _ = conn.Close() }() // it has answered, or it won't
	reply, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: t.service})
	if err != nil {
		return Outcome{Output: clip(status.Convert(err).Message())}
	}
	name := t.addr
	if t.service != "" {
		name += "/" + t.service
	}
	return Outcome{OK: reply.GetStatus() == healthpb.HealthCheckResponse_SERVING, Output: fmt.Sprintf("gRPC health of %s: %s", name, reply.GetStatus())}
}

// askScript runs a command in the task: 0 is well, 1 a warning, all else is a
// failure.
func (p *probe) askScript(ctx context.Context) Outcome {
	if p.exec == nil {
		return Outcome{Output: "commands can't be run in the tasks of this node"}
	}
	code, output, err := p.exec(ctx, p.task, p.target.command)
	output = clip(output)
	switch {
	case ctx.Err() != nil:
		return Outcome{Output: fmt.Sprintf("%s was ended: it took longer than %s\n%s", p.target.command[0], p.timeout, output)}
	case err != nil:
		return Outcome{Output: clip(err.Error())}
	}
	return Outcome{OK: code == 0, Warning: code == 1, Code: code, Output: output}
}

// clip cuts what was answered to what is kept.
func clip(text string) string {
	if len(text) > maxOutput {
		text = text[:maxOutput]
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
