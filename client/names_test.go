package client

import (
	"net"
	"testing"

	"github.com/miekg/dns"

	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/structs"
)

// freePort is one that was free for both protocols just now.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return addr
}

func TestNamesAreAnsweredForAlsoWhenTheServersAreGone(t *testing.T) {
	addr := freePort(t)
	w := newWorld(t, func(c *Config) { c.DNS = DNSConfig{Addrs: []string{addr}, Domain: "steppe", Upstreams: []string{}} })
	w.stop()
	w.servers.mu.Lock()
	w.servers.named = &link.ServiceSet{Index: 7, Full: true, Upserts: []*structs.ServiceRegistration{
		{ID: "1", Namespace: "default", ServiceName: "web", Address: "10.0.0.1", Port: 80},
		{ID: "2", Namespace: "default", ServiceName: "web", Address: "10.0.0.2", Port: 80, Health: structs.CheckStatusFailure},
	}}
	w.servers.mu.Unlock()
	found := func() bool {
		reply, err := dns.Exchange(new(dns.Msg).SetQuestion("web.service.steppe.", dns.TypeA), addr)
		if err != nil || len(reply.Answer) != 1 {
			return false
		}
		a, ok := reply.Answer[0].(*dns.A)
		return ok && a.A.String() == "10.0.0.1"
	}
	w.start()
	testx.Eventually(t, patience, "the healthy instance is found", found)
	w.stop()
	w.servers.mu.Lock()
	w.servers.named, w.servers.broken = nil, true
	w.servers.mu.Unlock()
	w.start()
	testx.Eventually(t, patience, "it is found by an agent that has never reached the servers", found)
}

func TestServicesAreToldAgainByAnAgentThatBeginsAnew(t *testing.T) {
	w := newWorld(t, nil)
	a := sample("a1", "service")
	w.servers.send(link.AllocSet{Full: true, Upserts: []*structs.Allocation{a}})
	w.eventually("a1", "running")
	w.stop()
	w.servers.mu.Lock()
	w.servers.services["stale"] = &structs.ServiceRegistration{ID: "stale"}
	w.servers.mu.Unlock()
	w.start()
	testx.Eventually(t, patience, "what is no more is taken back", func() bool {
		w.servers.mu.Lock()
		defer w.servers.mu.Unlock()
		return w.servers.services["stale"] == nil
	})
}
