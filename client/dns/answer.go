package dns

import (
	"context"
	"net"
	"strings"

	"github.com/miekg/dns"

	"github.com/steppe-run/steppe/structs"
)

const (
	// udpMax is the largest answer over UDP: what passes every network unbroken.
	udpMax = 1232
	// maxAnswers is how many instances one answer names.
	maxAnswers = 256
)

// handler answers what comes over one transport.
func (s *Server) handler(ctx context.Context, most int) dns.Handler {
	return dns.HandlerFunc(func(w dns.ResponseWriter, req *dns.Msg) {
		reply := s.answer(ctx, req, most == dns.MaxMsgSize)
		size := most
		if most == udpMax {
			size = dns.MinMsgSize
			if opt := req.IsEdns0(); opt != nil {
				size = min(max(int(opt.UDPSize()), dns.MinMsgSize), udpMax)
			}
		}
		reply.Truncate(size)
		_ = w.WriteMsg(reply) // who asked may be gone
	})
}

// answer is what a question is answered with.
func (s *Server) answer(ctx context.Context, req *dns.Msg, stream bool) *dns.Msg {
	reply := new(dns.Msg).SetReply(req)
	reply.Compress = true
	if opt := req.IsEdns0(); opt != nil {
		reply.SetEdns0(udpMax, opt.Do())
	}
	switch {
	case req.Opcode != dns.OpcodeQuery:
		return reply.SetRcode(req, dns.RcodeNotImplemented)
	case len(req.Question) != 1:
		return reply.SetRcode(req, dns.RcodeFormatError)
	}
	q := req.Question[0]
	name, ok := lower(q.Name)
	rest, ours := s.within(name)
	switch {
	case !ok || q.Qclass != dns.ClassINET && q.Qclass != dns.ClassANY:
		return reply.SetRcode(req, dns.RcodeRefused)
	case !ours:
		return s.upstream.ask(ctx, req, stream)
	}
	reply.Authoritative, reply.RecursionAvailable = true, s.upstream.some()
	s.fill(reply, q, rest)
	if len(reply.Answer) == 0 && reply.Rcode != dns.RcodeServerFailure {
		reply.Ns = append(reply.Ns, s.soa())
	}
	return reply
}

// within cuts the domain off a name.
func (s *Server) within(name string) (rest string, ours bool) {
	if name == s.domain {
		return "", true
	}
	return strings.CutSuffix(name, "."+s.domain)
}

func (s *Server) fill(reply *dns.Msg, q dns.Question, rest string) {
	if between(rest) {
		if rest == "" && q.Qtype == dns.TypeSOA {
			reply.Answer = append(reply.Answer, s.soa())
		}
		return
	}
	what, ok := parse(rest)
	switch {
	case !ok:
		reply.Rcode = dns.RcodeNameError
		return
	case what.addr != nil:
		reply.Answer = s.host(q.Name, what.addr, q.Qtype)
		return
	case !s.cache.ready():
		reply.Rcode = dns.RcodeServerFailure
		return
	}
	instances, known := s.cache.find(what)
	if !known {
		reply.Rcode = dns.RcodeNameError
		return
	}
	s.shuffle(instances)
	instances = instances[:min(len(instances), maxAnswers)]
	if q.Qtype == dns.TypeSRV || q.Qtype == dns.TypeANY {
		s.fillSRV(reply, q, instances)
	}
	if q.Qtype != dns.TypeSRV {
		seen := map[string]bool{}
		for _, r := range instances {
			if ip := net.ParseIP(r.Address); ip != nil && !seen[ip.String()] {
				seen[ip.String()] = true
				reply.Answer = append(reply.Answer, s.host(q.Name, ip, q.Qtype)...)
			}
		}
	}
}

// between reports whether a name has no records of its own, but others below it:
// resolvers that ask label by label must not take it for absent.
func between(rest string) bool {
	first, more, _ := strings.Cut(rest, ".")
	return more == "" || first == labelService && !strings.Contains(more, ".")
}

// fillSRV names the instances with their ports, and where their hosts are.
func (s *Server) fillSRV(reply *dns.Msg, q dns.Question, instances []*structs.ServiceRegistration) {
	seen := map[string]bool{}
	for _, r := range instances {
		if r.Port < 1 || r.Port > 65535 {
			continue
		}
		ip := net.ParseIP(r.Address)
		target := dns.Fqdn(r.Address)
		if ip != nil {
			target = addrLabel(ip) + "." + labelAddr + "." + s.domain + "."
		}
		if _, ok := dns.IsDomainName(target); !ok || r.Address == "" {
			continue
		}
		reply.Answer = append(reply.Answer, &dns.SRV{Hdr: s.header(q.Name, dns.TypeSRV), Priority: 1, Weight: 1, Port: uint16(r.Port), Target: target})
		if ip != nil && !seen[target] {
			seen[target] = true
			reply.Extra = append(reply.Extra, s.host(target, ip, dns.TypeANY)...)
		}
	}
}

// host is the record of an address, if it is of the type asked for.
func (s *Server) host(name string, ip net.IP, kind uint16) []dns.RR {
	v4 := ip.To4()
	switch {
	case v4 != nil && (kind == dns.TypeA || kind == dns.TypeANY):
		return []dns.RR{&dns.A{Hdr: s.header(name, dns.TypeA), A: v4}}
	case v4 == nil && (kind == dns.TypeAAAA || kind == dns.TypeANY):
		return []dns.RR{&dns.AAAA{Hdr: s.header(name, dns.TypeAAAA), AAAA: ip}}
	}
	return nil
}

func (s *Server) header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: s.ttl()}
}

func (s *Server) ttl() uint32 { return uint32(s.cfg.TTL.Seconds()) }

// soa says how long an absence may be kept.
func (s *Server) soa() dns.RR {
	domain := s.domain + "."
	return &dns.SOA{
		Hdr: s.header(domain, dns.TypeSOA), Ns: "ns." + domain, Mbox: "hostmaster." + domain,
		Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: s.ttl(),
	}
}

func (s *Server) shuffle(list []*structs.ServiceRegistration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.Random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
}
