package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

// The statuses of a check.
const (
	StatusPending = structs.CheckStatusPending
	StatusSuccess = structs.CheckStatusSuccess
	StatusFailure = structs.CheckStatusFailure
)

// The modes of a check: whether the health of a deployment depends on it.
const (
	ModeHealthiness = "healthiness"
	ModeReadiness   = "readiness"
)

const (
	// firstProbe is the pause before a check that hasn't succeeded yet is
	// probed again; it doubles up to the interval. A service that needs a
	// moment to listen is so found healthy soon, whatever its interval.
	firstProbe = 100 * time.Millisecond
	// defaultGrace of check_restart.
	defaultGrace = time.Second
	// defaultInterval and defaultTimeout serve checks that name none.
	defaultInterval = 10 * time.Second
	defaultTimeout  = 5 * time.Second
)

// probe is one check of one workload. Its fields below result are guarded by
// the manager's lock.
type probe struct {
	kind     string
	target   target
	interval time.Duration
	timeout  time.Duration
	limit    int
	grace    time.Duration
	task     string // whom to restart, "" for all
	restart  func(task, reason string)
	name     string
	alloc    string

	result   structs.AllocCheckStatus
	due      time.Time
	ramp     time.Duration // zero once the check has succeeded, or the ramp is over
	busy     bool
	gone     bool // its workload was removed or replaced
	resting  bool // its tasks are being restarted: failures don't count
	failures int
	armed    time.Time // failures count from here on
}

// target is where and how a check asks.
type target struct {
	addr    string
	url     string
	method  string
	header  map[string][]string
	body    string
	skipTLS bool
}

func newProbe(w Workload, svc *structs.Service, c *structs.ServiceCheck, now time.Time) (*probe, error) {
	if c.Type != structs.CheckTypeHTTP && c.Type != structs.CheckTypeTCP {
		return nil, fmt.Errorf("type %q is not offered with provider %q: use http or tcp", c.Type, structs.ServiceProviderNomad)
	}
	label, fixed := c.PortLabel, ""
	if label == "" {
		label, fixed = svc.PortLabel, svc.Address
	}
	mode := c.AddressMode
	if mode == "" {
		mode = structs.AddressModeHost
		if w.Network != nil && w.Network.AutoAdvertise {
			mode = structs.AddressModeAuto
		}
	}
	ip, port, err := address(w, mode, label, fixed)
	if err != nil {
		return nil, err
	}
	if port == 0 {
		return nil, errors.New("it has no port to ask at: set port in the check or in the service")
	}
	p := &probe{
		kind:     c.Type,
		alloc:    w.Alloc.ID,
		interval: positive(c.Interval, defaultInterval),
		timeout:  positive(c.Timeout, defaultTimeout),
		restart:  w.Restart,
		task:     firstOf(c.TaskName, svc.TaskName, w.Task),
		due:      now,
		ramp:     firstProbe,
	}
	p.setRestart(c.CheckRestart, svc.CheckRestart, now)
	p.target = newTarget(w, c, net.JoinHostPort(ip, strconv.Itoa(port)))
	service := serviceName(w, svc)
	p.name = w.Env.Replace(c.Name)
	if p.name == "" {
		p.name = fmt.Sprintf("service: %q check", service)
	}
	p.result = structs.AllocCheckStatus{
		ID:      checkID(w.Alloc.ID, w.Task, service, svc.PortLabel, p.name, c.Type, c.Path, c.PortLabel),
		Check:   p.name,
		Group:   w.Alloc.Name,
		Mode:    ModeHealthiness,
		Service: service,
		Task:    w.Task,
		Status:  StatusPending,
		Output:  "not probed yet",
	}
	if firstOf(c.OnUpdate, svc.OnUpdate) == structs.OnUpdateIgnore {
		p.result.Mode = ModeReadiness
	}
	if c.InitialStatus == "passing" {
		p.result.Status = StatusSuccess
	}
	p.result.Timestamp = now.Unix()
	return p, nil
}

func (p *probe) setRestart(own, inherited *structs.CheckRestart, now time.Time) {
	rule := own
	if rule == nil {
		rule = inherited
	}
	if rule == nil {
		return
	}
	p.limit, p.grace = rule.Limit, structs.ValueOr(rule.Grace, defaultGrace)
	p.armed = now.Add(p.grace)
}

// keepResults lets a check that stays the same keep what is known of it.
func keepResults(old, fresh []*probe) []*probe {
	for _, p := range fresh {
		for _, q := range old {
			if q.result.ID == p.result.ID {
				p.result.Status, p.result.Output = q.result.Status, q.result.Output
				p.result.StatusCode, p.result.Timestamp = q.result.StatusCode, q.result.Timestamp
				p.ramp = q.ramp
			}
		}
	}
	return fresh
}

// probe starts every check that is due, and waits for the next.
func (m *Manager) probe(ctx context.Context) error {
	group := loop.New(ctx)
	defer func() { group.Stop(); _ = group.Wait() }() // probes return no errors
	for ctx.Err() == nil {
		now := m.cfg.Clock.Now()
		due, next := m.takeDue(now)
		for _, p := range due {
			group.Go("probe", func(ctx context.Context) error {
				m.finish(p, m.ask(ctx, p))
				return nil
			})
		}
		var wait time.Duration
		if !next.IsZero() {
			wait = next.Sub(now)
		}
		m.sleep(ctx, wait, m.tick)
	}
	return ctx.Err()
}

// retire marks probes whose outcome nobody waits for any more.
func retire(probes []*probe) {
	for _, p := range probes {
		p.gone = true
	}
}

// Rest is told when a task of an allocation goes down: until Resume, failures
// of the group's checks don't ask for a restart.
func (m *Manager) Rest(allocID string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.probes[key{allocID, ""}] {
		p.resting, p.failures = true, 0
	}
}

// Resume is told when the task is up again: the group's checks are probed as
// if the group were new.
func (m *Manager) Resume(allocID string) {
	m.mu.Lock()
	now := m.cfg.Clock.Now()
	for _, p := range m.probes[key{allocID, ""}] {
		p.resting, p.failures = false, 0
		p.ramp, p.due = firstProbe, now
		p.armed = now.Add(p.grace)
	}
	m.mu.Unlock()
	poke(m.tick)
}

// takeDue returns the checks to probe now, marked as busy, and when the next
// one is due.
func (m *Manager) takeDue(now time.Time) (due []*probe, next time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, probes := range m.probes {
		for _, p := range probes {
			switch {
			case p.busy:
			case !p.due.After(now):
				p.busy = true
				due = append(due, p)
			case next.IsZero() || p.due.Before(next):
				next = p.due
			}
		}
	}
	slices.SortFunc(due, func(a, b *probe) int { return strings.Compare(a.result.ID, b.result.ID) })
	return due, next
}

// Probe names a check of one workload.
type Probe struct{ AllocID, Task, Service, Check string }

// Outcome is what one probe found.
type Outcome struct {
	OK bool
	// Code is the status of an HTTP answer, 0 without one.
	Code int
	// Output is what people are shown.
	Output string
}

// ask probes a check once.
func (m *Manager) ask(ctx context.Context, p *probe) Outcome {
	if m.cfg.Ask == nil {
		return p.ask(ctx)
	}
	return m.cfg.Ask(ctx, Probe{AllocID: p.alloc, Task: p.result.Task, Service: p.result.Service, Check: p.name})
}

// finish records an outcome, and asks for a restart when the check has failed
// too often.
func (m *Manager) finish(p *probe, o Outcome) {
	m.mu.Lock()
	if p.gone {
		m.mu.Unlock()
		return
	}
	now := m.cfg.Clock.Now()
	before := p.result.Status
	p.busy = false
	p.result.Status = StatusFailure
	if o.OK {
		p.result.Status = StatusSuccess
	}
	p.result.StatusCode, p.result.Output, p.result.Timestamp = o.Code, o.Output, now.Unix()
	restart := p.schedule(now, o.OK)
	changed := before != p.result.Status
	failures := p.failures
	if restart {
		p.failures = 0
		p.armed = now.Add(p.grace)
	}
	m.mu.Unlock()
	poke(m.tick)
	if changed && m.cfg.Changed != nil {
		m.cfg.Changed(p.alloc)
	}
	if restart && p.restart != nil {
		p.restart(p.task, fmt.Sprintf("check %q failed %d times in a row", p.name, failures))
	}
}

// schedule sets when to probe next and reports whether the limit of failures
// is reached. Early probes don't count: the service had no chance yet.
func (p *probe) schedule(now time.Time, ok bool) (restart bool) {
	early := p.ramp > 0 && !ok
	switch {
	case ok:
		p.ramp, p.failures = 0, 0
		p.due = now.Add(p.interval)
	case early && p.ramp < p.interval:
		p.due = now.Add(p.ramp)
		p.ramp *= 2
	default:
		p.ramp, early = 0, false
		p.due = now.Add(p.interval)
	}
	if ok || early || p.resting || p.limit <= 0 || now.Before(p.armed) {
		return false
	}
	p.failures++
	return p.failures >= p.limit
}

func positive(d, fallback time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return fallback
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
