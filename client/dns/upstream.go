package dns

import (
	"context"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// resolvConf names the machine's own resolvers.
	resolvConf = "/etc/resolv.conf"
	// askPatience is how long one resolver may take, maxTries how many are asked.
	askPatience = 2 * time.Second
	maxTries    = 2
	// maxForwards is how many questions may wait for resolvers at the same time.
	maxForwards = 256
)

// upstream asks other resolvers for what isn't ours.
type upstream struct {
	fixed []string // nil: those of the file
	own   []string // never asked: that would go round in circles
	path  string
	room  chan struct{}

	mu    sync.Mutex
	found []string
	stamp time.Time
}

func newUpstream(cfg Config) *upstream {
	return &upstream{fixed: cfg.Upstreams, own: cfg.Addrs, path: resolvConf, room: make(chan struct{}, maxForwards)}
}

// servers are whom to ask now.
func (u *upstream) servers() []string {
	if u.fixed != nil {
		return u.fixed
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	info, err := os.Stat(u.path)
	if err != nil {
		return nil
	}
	if stamp := info.ModTime(); !stamp.Equal(u.stamp) {
		u.stamp, u.found = stamp, nil
		config, err := dns.ClientConfigFromFile(u.path)
		if err != nil {
			return nil
		}
		for _, server := range config.Servers {
			if addr := net.JoinHostPort(server, config.Port); !slices.Contains(u.own, addr) {
				u.found = append(u.found, addr)
			}
		}
	}
	return u.found
}

// some reports whether there is anybody to ask.
func (u *upstream) some() bool { return len(u.servers()) > 0 }

// ask passes a question on, and its answer back.
func (u *upstream) ask(ctx context.Context, req *dns.Msg, stream bool) *dns.Msg {
	servers := u.servers()
	if len(servers) == 0 {
		return new(dns.Msg).SetRcode(req, dns.RcodeRefused)
	}
	select {
	case u.room <- struct{}{}:
		defer func() { <-u.room }()
	default:
		return new(dns.Msg).SetRcode(req, dns.RcodeServerFailure) // too many wait already
	}
	client := &dns.Client{Timeout: askPatience, Net: "udp", UDPSize: udpMax}
	if stream {
		client.Net = "tcp"
	}
	for _, server := range servers[:min(len(servers), maxTries)] {
		reply, _, err := client.ExchangeContext(ctx, req, server)
		if err == nil && reply != nil {
			reply.Id = req.Id
			return reply
		}
	}
	return new(dns.Msg).SetRcode(req, dns.RcodeServerFailure)
}
