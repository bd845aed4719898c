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
	StatusWarning = structs.CheckStatusWarning
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
	lenient  bool   // warnings don't count towards limit
	task     string // whom to restart and in whom to run commands, "" for all
	restart  func(task, reason string)
	exec     Exec
	rule     thresholds
	name     string
	alloc    string
	reg      string // the id of the registration whose health it tells

	result   structs.AllocCheckStatus
	due      time.Time
	ramp     time.Duration // zero once the check has succeeded, or the ramp is over
	busy     bool
	gone     bool // its workload was removed or replaced
	resting  bool // its tasks are being restarted: failures don't count
	tally    tally
	failures int
	armed    time.Time // failures count from here on
}

func newProbe(w Workload, svc *structs.Service, c *structs.ServiceCheck, now time.Time) (*probe, error) {
	addr, err := checkAddress(w, svc, c)
	if err != nil {
		return nil, err
	}
	p := &probe{
		kind:     c.Type,
		alloc:    w.Alloc.ID,
		interval: positive(c.Interval, defaultInterval),
		timeout:  positive(c.Timeout, defaultTimeout),
		restart:  w.Restart,
		exec:     w.Exec,
		task:     firstOf(c.TaskName, svc.TaskName, w.Task),
		rule:     newThresholds(c),
		due:      now,
		ramp:     firstProbe,
	}
	p.reg = registrationID(w, serviceName(w, svc), svc.PortLabel)
	p.setRestart(c.CheckRestart, svc.CheckRestart, now)
	p.target = newTarget(w, c, addr)
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
		Status:  initialStatus(c),
		Output:  "not probed yet",
	}
	switch firstOf(c.OnUpdate, svc.OnUpdate) {
	case structs.OnUpdateIgnore:
		p.result.Mode = ModeReadiness
	case structs.OnUpdateIgnoreWarn:
		p.result.IgnoreWarnings = true
	}
	p.result.Timestamp = now.Unix()
	return p, nil
}

// checkAddress finds where a check asks; "" if it runs a command instead.
func checkAddress(w Workload, svc *structs.Service, c *structs.ServiceCheck) (string, error) {
	switch c.Type {
	case structs.CheckTypeHTTP, structs.CheckTypeTCP, structs.CheckTypeGRPC:
	case structs.CheckTypeScript:
		if firstOf(c.TaskName, svc.TaskName, w.Task) == "" {
			return "", errors.New("it doesn't say in which task its command is to run: set task in the check")
		}
		return "", nil
	default:
		return "", fmt.Errorf("type %q is unknown: use http, tcp, grpc or script", c.Type)
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
		return "", err
	}
	if port == 0 {
		return "", errors.New("it has no port to ask at: set port in the check or in the service")
	}
	return net.JoinHostPort(ip, strconv.Itoa(port)), nil
}

func (p *probe) setRestart(own, inherited *structs.CheckRestart, now time.Time) {
	rule := own
	if rule == nil {
		rule = inherited
	}
	if rule == nil {
		return
	}
	p.limit, p.grace, p.lenient = rule.Limit, structs.ValueOr(rule.Grace, defaultGrace), rule.IgnoreWarnings
	p.armed = now.Add(p.grace)
}

// keepResults lets a check that stays the same keep what is known of it.
func keepResults(old, fresh []*probe) []*probe {
	for _, p := range fresh {
		for _, q := range old {
			if q.result.ID == p.result.ID {
				p.result.Status, p.result.Output = q.result.Status, q.result.Output
				p.result.StatusCode, p.result.Timestamp = q.result.StatusCode, q.result.Timestamp
				p.ramp, p.tally = q.ramp, q.tally
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
	// Warning says of what isn't well that it is not bad either.
	Warning bool
	// Code is the status of an HTTP answer or the exit code of a command, 0
	// without one.
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
	early := p.schedule(now, o.OK || o.Warning)
	if !early || !p.rule.patient() {
		p.result.Status = p.rule.next(before, &p.tally, o)
	}
	p.result.StatusCode, p.result.Output, p.result.Timestamp = o.Code, o.Output, now.Unix()
	restart := p.overLimit(now, early, o)
	changed := before != p.result.Status
	if changed {
		m.refreshLocked(p)
	}
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

// schedule sets when to probe next and reports whether this was an early probe:
// the service had no chance yet.
func (p *probe) schedule(now time.Time, ok bool) (early bool) {
	early = p.ramp > 0 && !ok && p.ramp < p.interval
	if early {
		p.due = now.Add(p.ramp)
		p.ramp *= 2
		return true
	}
	p.ramp = 0
	p.due = now.Add(p.interval)
	return false
}

// overLimit counts failures in a row and reports whether the limit is reached.
func (p *probe) overLimit(now time.Time, early bool, o Outcome) bool {
	bad := p.result.Status == StatusFailure || p.result.Status == StatusWarning && !p.lenient
	if o.OK || !bad {
		p.failures = 0
		return false
	}
	if early || p.resting || p.limit <= 0 || now.Before(p.armed) {
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
