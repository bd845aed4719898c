package dns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/structs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 5 * time.Second

// world is a server with what it is told.
type world struct {
	t      *testing.T
	cfg    Config
	server *Server
	sets   chan *link.ServiceSet
	stop   func()
}

// start runs a server at a port of its own.
func start(t *testing.T, change func(*Config)) *world {
	t.Helper()
	w := &world{t: t, sets: make(chan *link.ServiceSet, 100)}
	w.cfg = Config{
		Domain: "steppe", Addrs: []string{"127.0.0.1:0"}, Upstreams: []string{}, TTL: 2 * time.Second, Source: w.source,
		Random: rand.New(rand.NewPCG(1, 2)), Clock: clock.Real{}, Logger: logx.Discard(),
	}
	if change != nil {
		change(&w.cfg)
	}
	w.run()
	return w
}

func (w *world) run() {
	w.server = New(w.cfg)
	ctx, cancel := context.WithCancel(context.Background())
	group := loop.New(ctx)
	group.Go("dns", w.server.Run)
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := group.Wait(); err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(w.stop)
}

// source tells of what the test puts into sets.
func (w *world) source(ctx context.Context, _ uint64, each func(*link.ServiceSet) error) error {
	for {
		select {
		case set := <-w.sets:
			if err := each(set); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func instance(id, name, addr string, port int, change func(*structs.ServiceRegistration)) *structs.ServiceRegistration {
	r := &structs.ServiceRegistration{ID: id, ServiceName: name, Namespace: "default", Address: addr, Port: port}
	if change != nil {
		change(r)
	}
	return r
}

func ill(r *structs.ServiceRegistration) { r.Health = structs.CheckStatusFailure }

// tell has the server know of registrations, and waits until it does.
func (w *world) tell(set *link.ServiceSet) {
	w.t.Helper()
	w.server.cache.mu.RLock()
	set.Index = w.server.cache.index + 1
	w.server.cache.mu.RUnlock()
	w.sets <- set
	testx.Eventually(w.t, patience, "the set is known", func() bool {
		w.server.cache.mu.RLock()
		defer w.server.cache.mu.RUnlock()
		return w.server.cache.index == set.Index
	})
}

func (w *world) shop() {
	w.tell(&link.ServiceSet{Full: true, Upserts: []*structs.ServiceRegistration{
		instance("1", "web", "10.0.0.1", 8001, func(r *structs.ServiceRegistration) { r.Tags = []string{"v1", "Blue"} }),
		instance("2", "web", "10.0.0.2", 8002, func(r *structs.ServiceRegistration) { r.Health = structs.CheckStatusWarning }),
		instance("3", "web", "10.0.0.3", 8003, ill),
		instance("4", "web", "fd00::4", 8004, func(r *structs.ServiceRegistration) { r.Health = structs.CheckStatusSuccess }),
		instance("5", "down", "10.0.0.5", 8005, ill),
		instance("6", "Web", "10.1.0.6", 8006, func(r *structs.ServiceRegistration) { r.Namespace = "prod" }),
		instance("7", "portless", "10.0.0.7", 0, nil),
		instance("8", "named", "db.example.com", 5432, nil),
	}})
}

// ask asks over the wire and returns the answer, and its records as words.
func (w *world) ask(network, name string, kind uint16) (*dns.Msg, []string) {
	w.t.Helper()
	client := &dns.Client{Net: network, Timeout: patience}
	reply, _, err := client.Exchange(new(dns.Msg).SetQuestion(name, kind), w.server.Addrs()[0])
	if err != nil {
		w.t.Fatalf("%s: %v", name, err)
	}
	words := []string{}
	for _, rr := range reply.Answer {
		switch rr := rr.(type) {
		case *dns.A:
			words = append(words, rr.A.String())
		case *dns.AAAA:
			words = append(words, rr.AAAA.String())
		case *dns.SRV:
			words = append(words, fmt.Sprintf("%s%d", rr.Target, rr.Port))
		default:
			words = append(words, rr.String())
		}
	}
	slices.Sort(words)
	return reply, words
}

func TestServicesAreAnsweredForByName(t *testing.T) {
	w := start(t, nil)
	w.shop()
	for _, c := range []struct {
		name string
		kind uint16
		code int
		want string
	}{
		{"web.service.steppe.", dns.TypeA, dns.RcodeSuccess, "10.0.0.1 10.0.0.2"},
		{"WEB.Service.STEPPE.", dns.TypeA, dns.RcodeSuccess, "10.0.0.1 10.0.0.2"},
		{"web.service.steppe.", dns.TypeAAAA, dns.RcodeSuccess, "fd00::4"},
		{"blue.web.service.steppe.", dns.TypeA, dns.RcodeSuccess, "10.0.0.1"},
		{"green.web.service.steppe.", dns.TypeA, dns.RcodeNameError, ""},
		{"web.service.default.steppe.", dns.TypeA, dns.RcodeSuccess, "10.0.0.1 10.0.0.2"},
		{"web.service.prod.steppe.", dns.TypeA, dns.RcodeSuccess, "10.1.0.6"},
		{"v1.web.service.default.steppe.", dns.TypeA, dns.RcodeSuccess, "10.0.0.1"},
		{"web.service.steppe.", dns.TypeSRV, dns.RcodeSuccess, "0a000001.addr.steppe.8001 0a000002.addr.steppe.8002 fd000000000000000000000000000004.addr.steppe.8004"},
		{"_web._tcp.service.steppe.", dns.TypeSRV, dns.RcodeSuccess, "0a000001.addr.steppe.8001 0a000002.addr.steppe.8002 fd000000000000000000000000000004.addr.steppe.8004"},
		{"_web._v1.service.steppe.", dns.TypeSRV, dns.RcodeSuccess, "0a000001.addr.steppe.8001"},
		{"0a000001.addr.steppe.", dns.TypeA, dns.RcodeSuccess, "10.0.0.1"},
		{"fd000000000000000000000000000004.addr.steppe.", dns.TypeAAAA, dns.RcodeSuccess, "fd00::4"},
		{"0a000001.addr.steppe.", dns.TypeAAAA, dns.RcodeSuccess, ""},
		{"zz000001.addr.steppe.", dns.TypeA, dns.RcodeNameError, ""},
		{"down.service.steppe.", dns.TypeA, dns.RcodeSuccess, ""},
		{"portless.service.steppe.", dns.TypeSRV, dns.RcodeSuccess, ""},
		{"named.service.steppe.", dns.TypeSRV, dns.RcodeSuccess, "db.example.com.5432"},
		{"named.service.steppe.", dns.TypeA, dns.RcodeSuccess, ""},
		{"web.service.steppe.", dns.TypeMX, dns.RcodeSuccess, ""},
		{"nobody.service.steppe.", dns.TypeA, dns.RcodeNameError, ""},
		{"service.steppe.", dns.TypeA, dns.RcodeSuccess, ""},
		{"service.prod.steppe.", dns.TypeA, dns.RcodeSuccess, ""},
		{"steppe.", dns.TypeNS, dns.RcodeSuccess, ""},
		{"a.b.c.d.steppe.", dns.TypeA, dns.RcodeNameError, ""},
		{"example.com.", dns.TypeA, dns.RcodeRefused, ""},
		{"web.service.notsteppe.", dns.TypeA, dns.RcodeRefused, ""},
	} {
		for _, network := range []string{"udp", "tcp"} {
			reply, words := w.ask(network, c.name, c.kind)
			if reply.Rcode != c.code || strings.Join(words, " ") != c.want {
				t.Errorf("%s %s over %s: %s %q, want %s %q", dns.TypeToString[c.kind], c.name, network, dns.RcodeToString[reply.Rcode], words, dns.RcodeToString[c.code], c.want)
			}
			for _, rr := range append(reply.Answer, reply.Extra...) {
				if rr.Header().Ttl != 2 {
					t.Errorf("%s: ttl %d", rr, rr.Header().Ttl)
				}
			}
		}
	}
	if reply, _ := w.ask("udp", "web.service.steppe.", dns.TypeSRV); len(reply.Extra) != 3 {
		t.Errorf("the hosts that SRV names are not told: %v", reply.Extra)
	}
}

func TestChangesAreAnsweredWith(t *testing.T) {
	w := start(t, nil)
	if reply, _ := w.ask("udp", "web.service.steppe.", dns.TypeA); reply.Rcode != dns.RcodeServerFailure {
		t.Errorf("before anything is known: %s", dns.RcodeToString[reply.Rcode])
	}
	w.shop()
	w.tell(&link.ServiceSet{Upserts: []*structs.ServiceRegistration{instance("1", "web", "10.0.0.1", 8001, ill), instance("9", "web", "10.0.0.9", 1, nil)}, Removed: []string{"default/2", "default/none"}})
	if _, words := w.ask("udp", "web.service.steppe.", dns.TypeA); !slices.Equal(words, []string{"10.0.0.9"}) {
		t.Errorf("after changes: %v", words)
	}
	w.tell(&link.ServiceSet{Upserts: []*structs.ServiceRegistration{instance("9", "api", "10.0.0.9", 1, nil)}})
	if _, words := w.ask("udp", "web.service.steppe.", dns.TypeA); len(words) != 0 {
		t.Errorf("an instance that has another name now is still found: %v", words)
	}
	w.tell(&link.ServiceSet{Full: true})
	if reply, _ := w.ask("udp", "api.service.steppe.", dns.TypeA); reply.Rcode != dns.RcodeNameError {
		t.Errorf("after all is gone: %s", dns.RcodeToString[reply.Rcode])
	}
}

// An agent that begins without any server answers with what was known before.
func TestWhatIsKnownSurvivesTheAgent(t *testing.T) {
	dir := t.TempDir()
	w := start(t, func(c *Config) { c.Dir = dir })
	w.shop()
	w.stop()
	w.run()
	if _, words := w.ask("udp", "web.service.steppe.", dns.TypeA); len(words) != 2 {
		t.Errorf("after a restart: %v", words)
	}
	w.stop()
	if err := os.WriteFile(filepath.Join(dir, fileName), []byte(`{"Services":[`), 0o600); err != nil {
		t.Fatal(err)
	}
	w.run()
	if reply, _ := w.ask("udp", "web.service.steppe.", dns.TypeA); reply.Rcode != dns.RcodeServerFailure {
		t.Errorf("with a broken file: %s", dns.RcodeToString[reply.Rcode])
	}
	w.shop()
	if _, words := w.ask("udp", "web.service.steppe.", dns.TypeA); len(words) != 2 {
		t.Errorf("once the servers are back: %v", words)
	}
}

func TestLargeAnswersAreCutOverUDPAndWholeOverTCP(t *testing.T) {
	w := start(t, nil)
	var all []*structs.ServiceRegistration
	for i := range 400 {
		all = append(all, instance(fmt.Sprint(i), "big", fmt.Sprintf("10.0.%d.%d", i/200, i%200), 80, nil))
	}
	w.tell(&link.ServiceSet{Full: true, Upserts: all})
	reply, words := w.ask("udp", "big.service.steppe.", dns.TypeA)
	reply.Compress = true
	if !reply.Truncated || len(words) == 0 || reply.Len() > dns.MinMsgSize {
		t.Errorf("over UDP: truncated %v, %d answers, %d bytes", reply.Truncated, len(words), reply.Len())
	}
	first := reply.Answer[0].String()
	if reply, words := w.ask("tcp", "big.service.steppe.", dns.TypeA); reply.Truncated || len(words) != maxAnswers {
		t.Errorf("over TCP: truncated %v, %d answers", reply.Truncated, len(words))
	}
	testx.Eventually(t, patience, "answers are shuffled", func() bool {
		reply, _ := w.ask("udp", "big.service.steppe.", dns.TypeA)
		return reply.Answer[0].String() != first
	})
}

func TestOtherNamesGoToTheUpstream(t *testing.T) {
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	other := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, req *dns.Msg) {
		reply := new(dns.Msg).SetReply(req)
		reply.Answer = append(reply.Answer, &dns.A{Hdr: dns.RR_Header{Name: req.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.IPv4(192, 0, 2, 1)})
		if err := w.WriteMsg(reply); err != nil {
			t.Error(err)
		}
	})}
	started := make(chan struct{})
	other.NotifyStartedFunc = func() { close(started) }
	group := loop.New(context.Background())
	group.Go("upstream", func(context.Context) error { return other.ActivateAndServe() })
	<-started
	defer func() {
		if err := errors.Join(other.Shutdown(), group.Wait()); err != nil {
			t.Error(err)
		}
	}()
	dead, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := dead.LocalAddr().String()
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	w := start(t, func(c *Config) { c.Upstreams = []string{gone, packets.LocalAddr().String()} })
	if _, words := w.ask("udp", "example.com.", dns.TypeA); !slices.Equal(words, []string{"192.0.2.1"}) {
		t.Errorf("answer %v", words)
	}
	w.shop()
	if reply, _ := w.ask("udp", "nobody.service.steppe.", dns.TypeA); reply.Rcode != dns.RcodeNameError {
		t.Error("a name of ours went to the upstream")
	}
	none := start(t, func(c *Config) { c.Upstreams = []string{gone} })
	if reply, _ := none.ask("udp", "example.com.", dns.TypeA); reply.Rcode != dns.RcodeServerFailure {
		t.Errorf("an upstream that is away: %s", dns.RcodeToString[reply.Rcode])
	}
}

func TestResolvConfIsReadAgainAndNeverLeadsBackHere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	write := func(text string, at time.Time) {
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	u := newUpstream(Config{Addrs: []string{"127.0.0.1:53"}})
	u.path = path
	if u.some() {
		t.Error("a file that isn't there names resolvers")
	}
	write("nameserver 127.0.0.1\nnameserver 192.0.2.1\n", time.Unix(1000, 0))
	if got := u.servers(); !slices.Equal(got, []string{"192.0.2.1:53"}) {
		t.Errorf("resolvers %v", got)
	}
	write("nameserver 2001:db8::1\n", time.Unix(2000, 0))
	if got := u.servers(); !slices.Equal(got, []string{"[2001:db8::1]:53"}) {
		t.Errorf("resolvers %v", got)
	}
}

// What isn't a question is dropped or refused, and the next one is answered.
func TestHostileQuestionsAreSurvived(t *testing.T) {
	w := start(t, nil)
	w.shop()
	conn, err := net.Dial("udp", w.server.Addrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	question, err := new(dns.Msg).SetQuestion("web.service.steppe.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	loops := append(slices.Clone(question[:12]), 0xc0, 12, 0, 1, 0, 1) // a name that points at itself
	random := rand.New(rand.NewPCG(3, 4))
	for i := range 2000 {
		junk := slices.Clone(question)
		switch i % 4 {
		case 0:
			junk = junk[:random.IntN(len(junk))]
		case 1:
			junk[random.IntN(len(junk))] ^= byte(1 + random.IntN(255))
		case 2:
			junk = loops
		case 3:
			junk = bytes.Repeat([]byte{byte(i)}, 1+random.IntN(600))
		}
		if _, err := conn.Write(junk); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{
		strings.Repeat("a.", 119) + "service.steppe.", strings.Repeat("x", 63) + ".service.steppe.", `\255\000.service.steppe.`, `..\.service.steppe.`, `a\.b.web.service.steppe.`, `__._.service.steppe.`,
	} {
		client := &dns.Client{Timeout: 500 * time.Millisecond}
		m := new(dns.Msg).SetQuestion(name, dns.TypeA)
		if _, err := m.Pack(); err != nil {
			continue
		}
		testx.Eventually(t, patience, name+" is answered", func() bool { // once there is room in the socket's queue
			reply, _, err := client.Exchange(m, w.server.Addrs()[0])
			return err == nil && len(reply.Answer) == 0
		})
	}
	if _, words := w.ask("udp", "web.service.steppe.", dns.TypeA); len(words) != 2 {
		t.Errorf("after all that: %v", words)
	}
}

// Connections that ask nothing, and more of them than there is room for, leave
// the others their answers.
func TestAFloodOfConnectionsIsBounded(t *testing.T) {
	w := start(t, nil)
	w.shop()
	for range maxConns + 50 {
		conn, err := net.Dial("tcp", w.server.Addrs()[0])
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
	}
	if _, words := w.ask("udp", "web.service.steppe.", dns.TypeA); len(words) != 2 {
		t.Errorf("over UDP: %v", words)
	}
	testx.Eventually(t, 2*connIdle, "idle connections are closed and there is room again", func() bool {
		reply, _, err := (&dns.Client{Net: "tcp", Timeout: time.Second}).Exchange(new(dns.Msg).SetQuestion("web.service.steppe.", dns.TypeA), w.server.Addrs()[0])
		return err == nil && len(reply.Answer) == 2
	})
}

func TestAnAddressThatIsTakenIsTriedAgain(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	clk := clock.NewManual(time.Unix(0, 0))
	w := start(t, func(c *Config) { c.Addrs, c.Clock = []string{taken.Addr().String()}, clk })
	if got := w.server.Addrs(); len(got) != 0 {
		t.Errorf("it answers at %v", got)
	}
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, patience, "it answers", func() bool {
		clk.Advance(bindRetry)
		return len(w.server.Addrs()) == 1
	})
}
