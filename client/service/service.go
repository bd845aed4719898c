// Package service keeps the outside world informed of what the allocations of
// this node offer: it registers native services, takes them back before a task
// ends, and probes their checks.
//
// It must not know how tasks are run; it is told when one is up (Add) or about
// to be down (Remove). Begin reading at Manager.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/steppe-run/steppe/client/taskenv"
	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/structs"
)

const (
	// retryMin and retryMax bound the pause after the catalogue failed.
	retryMin = 500 * time.Millisecond
	retryMax = 30 * time.Second
	// removePatience is how long Remove waits for the catalogue.
	removePatience = 2 * time.Second
	// healthQuiet is how long changes of health are gathered.
	healthQuiet = 200 * time.Millisecond
	// syncEvery is how often the catalogue is told of everything, in case it has
	// lost something. It writes only what differs.
	syncEvery = 5 * time.Minute
)

// Catalog is where services are registered.
type Catalog interface {
	UpsertServices(ctx context.Context, services []*structs.ServiceRegistration) error
	// SyncServices makes registrations all there are of this node.
	SyncServices(ctx context.Context, services []*structs.ServiceRegistration) error
	DeleteServices(ctx context.Context, namespace string, ids []string) error
}

// Config is what a manager works with.
type Config struct {
	// Catalog may be nil: then checks are probed and nothing is registered.
	Catalog Catalog
	Clock   clock.Clock
	Logger  *slog.Logger
	// Ask probes a check; nil asks over the network.
	Ask func(ctx context.Context, p Probe) Outcome
	// Changed is called when a check of an allocation has a new status.
	Changed func(allocID string)
}

// Workload is what one task, or a group as a whole, offers.
type Workload struct {
	Alloc *structs.Allocation
	Node  *structs.Node
	// Task is empty for the services of the group.
	Task     string
	Services []*structs.Service
	Env      *taskenv.Env
	// Network is where the driver says that the task is reached, if it does.
	Network *drivers.Network
	// Restart is called when a check failed more often than its check_restart
	// allows; task names the one meant, "" all of the group.
	Restart func(task, reason string)
	// Exec runs the commands of script checks; nil refuses them.
	Exec Exec
}

// Exec runs a command in a task until it ends or ctx does, and returns the
// beginning of what it printed.
type Exec func(ctx context.Context, task string, command []string) (code int, output string, err error)

// key names a workload.
type key struct{ alloc, task string }

// Manager is the node's registrar and prober. It is safe for concurrent use.
type Manager struct {
	cfg  Config
	wake chan struct{} // the catalogue has work
	news chan struct{} // ... that may wait a moment
	tick chan struct{} // the probes have work

	mu      sync.Mutex
	want    map[string]*structs.ServiceRegistration
	have    map[string]*structs.ServiceRegistration
	refused map[string]*structs.ServiceRegistration // by the servers, and told of
	owned   map[key][]string                        // registration ids
	probes  map[key][]*probe
	flushed chan struct{} // closed after the next flush
	running bool
	sync    bool      // the catalogue is to be told of everything
	synced  time.Time // when it was last
}

// NewManager makes a manager; it works while Run runs.
func NewManager(cfg Config) *Manager {
	return &Manager{
		cfg:     cfg,
		wake:    make(chan struct{}, 1),
		news:    make(chan struct{}, 1),
		tick:    make(chan struct{}, 1),
		want:    map[string]*structs.ServiceRegistration{},
		have:    map[string]*structs.ServiceRegistration{},
		refused: map[string]*structs.ServiceRegistration{},
		owned:   map[key][]string{},
		probes:  map[key][]*probe{},
		flushed: make(chan struct{}),
	}
}

// Run works until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	group := loop.New(ctx)
	m.setRunning(true)
	group.Go("register services", m.register)
	group.Go("probe checks", m.probe)
	err := group.Wait()
	m.setRunning(false)
	return err
}

func (m *Manager) setRunning(running bool) {
	m.mu.Lock()
	m.running, m.synced = running, m.cfg.Clock.Now()
	m.mu.Unlock()
}

// Add registers what a workload offers and begins to probe it. Added again, it
// replaces what it was. It returns one error for each service that can't be
// offered; the others are.
func (m *Manager) Add(w Workload) []error {
	regs, probes, errs := resolve(w, m.cfg.Clock.Now())
	k := key{w.Alloc.ID, w.Task}
	m.mu.Lock()
	m.dropLocked(k, regs)
	for _, reg := range regs {
		m.owned[k] = append(m.owned[k], reg.ID)
	}
	retire(m.probes[k])
	m.probes[k] = keepResults(m.probes[k], probes)
	for _, reg := range regs {
		m.want[reg.ID] = withHealth(reg, probes)
	}
	m.mu.Unlock()
	poke(m.wake)
	poke(m.tick)
	return errs
}

// Remove takes back what a workload offers and stops its probes. It waits a
// moment for the catalogue, so that nobody is sent to what is about to end; if
// that fails it is tried again later.
func (m *Manager) Remove(ctx context.Context, allocID, task string) {
	k := key{allocID, task}
	m.mu.Lock()
	had := len(m.owned[k]) > 0
	m.dropLocked(k, nil)
	delete(m.owned, k)
	retire(m.probes[k])
	delete(m.probes, k)
	flushed, running := m.flushed, m.running
	m.mu.Unlock()
	if !had || !running || m.cfg.Catalog == nil {
		return
	}
	poke(m.wake)
	_, _ = loop.Wait(ctx, m.cfg.Clock, removePatience, flushed) // whatever comes first will do
}

// dropLocked forgets the registrations of k that are not among keep.
func (m *Manager) dropLocked(k key, keep []*structs.ServiceRegistration) {
	kept := map[string]bool{}
	for _, reg := range keep {
		kept[reg.ID] = true
	}
	for _, id := range m.owned[k] {
		if !kept[id] {
			delete(m.want, id)
		}
	}
	m.owned[k] = nil
}

// Checks returns the results of an allocation's checks by id.
func (m *Manager) Checks(allocID string) map[string]*structs.AllocCheckStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]*structs.AllocCheckStatus{}
	for k, probes := range m.probes {
		if k.alloc != allocID {
			continue
		}
		for _, p := range probes {
			result := p.result
			out[result.ID] = &result
		}
	}
	return out
}

// register brings the catalogue to what is wanted, whenever that changes.
func (m *Manager) register(ctx context.Context) error {
	pause := retryMin
	for ctx.Err() == nil {
		if m.flush(ctx) {
			pause = retryMin
			m.awaitWork(ctx)
			continue
		}
		m.sleep(ctx, pause, m.wake)
		pause = min(pause*2, retryMax)
	}
	return ctx.Err()
}

// awaitWork waits until something is to be told, and for more if that is only
// health: one message tells of many.
func (m *Manager) awaitWork(ctx context.Context) {
	m.mu.Lock()
	var wait time.Duration
	if m.cfg.Catalog != nil && len(m.want) > 0 {
		wait = max(time.Millisecond, m.synced.Add(syncEvery).Sub(m.cfg.Clock.Now()))
	}
	m.mu.Unlock()
	which, err := loop.Wait(ctx, m.cfg.Clock, wait, m.wake, m.news)
	switch {
	case err != nil: // the caller looks at ctx itself
	case which == loop.Elapsed:
		m.mu.Lock()
		m.sync = true
		m.mu.Unlock()
	case which == 1:
		m.sleep(ctx, healthQuiet, m.wake)
	}
}

// sleep returns when d is over (zero: never), wake has something or ctx ends.
func (m *Manager) sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	_, _ = loop.Wait(ctx, m.cfg.Clock, max(d, 0), wake) // callers look at ctx themselves
}

// flush sends what differs and reports whether nothing is left to do.
func (m *Manager) flush(ctx context.Context) bool {
	if m.cfg.Catalog == nil {
		return true
	}
	m.mu.Lock()
	if m.sync && !m.syncLocked(ctx) {
		m.mu.Unlock()
		return false
	}
	upserts, deletes := m.differenceLocked()
	done := m.flushed
	m.flushed = make(chan struct{})
	m.mu.Unlock()
	defer close(done)
	ok := true
	for namespace, ids := range deletes {
		if err := m.cfg.Catalog.DeleteServices(ctx, namespace, ids); err != nil {
			m.cfg.Logger.Warn("services could not be deregistered and are tried again", logx.KeyError, err, logx.KeyCount, len(ids))
			ok = false
			continue
		}
		m.sent(func() {
			for _, id := range ids {
				delete(m.have, id)
			}
		})
	}
	return m.upsert(ctx, upserts) && ok
}

// upsert registers and reports whether everything is. If the catalogue refuses
// what is sent together it is sent one by one, so that a registration at fault
// keeps no other out.
func (m *Manager) upsert(ctx context.Context, regs []*structs.ServiceRegistration) bool {
	if len(regs) == 0 {
		return true
	}
	err := m.put(ctx, regs...)
	if errors.Is(err, link.ErrRefused) {
		err = m.putEach(ctx, regs)
	}
	if err == nil {
		return true
	}
	if !errors.Is(err, link.ErrRefused) {
		m.cfg.Logger.Warn("services could not be registered and are tried again", logx.KeyError, err, logx.KeyCount, len(regs))
	}
	return false
}

// putEach registers one by one and returns the last refusal, or what else
// failed.
func (m *Manager) putEach(ctx context.Context, regs []*structs.ServiceRegistration) (refusal error) {
	for _, reg := range regs {
		err := m.put(ctx, reg)
		switch {
		case err == nil:
		case errors.Is(err, link.ErrRefused):
			m.refuse(reg, err)
			refusal = err
		default:
			return err
		}
	}
	return refusal
}

func (m *Manager) put(ctx context.Context, regs ...*structs.ServiceRegistration) error {
	if err := m.cfg.Catalog.UpsertServices(ctx, regs); err != nil {
		return err
	}
	m.sent(func() {
		for _, reg := range regs {
			m.have[reg.ID] = reg
			delete(m.refused, reg.ID)
		}
	})
	return nil
}

// refuse tells once that the servers don't take a registration. It is tried
// again as long as it is wanted: what they object to may pass.
func (m *Manager) refuse(reg *structs.ServiceRegistration, err error) {
	m.mu.Lock()
	told := reflect.DeepEqual(m.refused[reg.ID], reg)
	m.refused[reg.ID] = reg
	m.mu.Unlock()
	if !told {
		m.cfg.Logger.Error("a service is refused and not registered; it is tried again now and then", logx.KeyError, fmt.Errorf("service %q: %w", reg.ServiceName, err), logx.KeyAlloc, reg.AllocID)
	}
}

func (m *Manager) sent(f func()) {
	m.mu.Lock()
	f()
	m.mu.Unlock()
}

func (m *Manager) differenceLocked() (upserts []*structs.ServiceRegistration, deletes map[string][]string) {
	for id, reg := range m.want {
		if !reflect.DeepEqual(m.have[id], reg) {
			upserts = append(upserts, reg)
		}
	}
	for id := range m.refused {
		if m.want[id] == nil {
			delete(m.refused, id)
		}
	}
	deletes = map[string][]string{}
	for id, reg := range m.have {
		if m.want[id] == nil {
			deletes[reg.Namespace] = append(deletes[reg.Namespace], id)
		}
	}
	return upserts, deletes
}

// Reregister has the catalogue told of everything: the servers may have
// forgotten some of it while the node was away, or remember what is no more.
func (m *Manager) Reregister() {
	m.mu.Lock()
	m.sync = true
	m.mu.Unlock()
	poke(m.wake)
}

// syncLocked tells the catalogue of everything that is wanted and not refused.
// It lets go of the lock while it does.
func (m *Manager) syncLocked(ctx context.Context) bool {
	all := make([]*structs.ServiceRegistration, 0, len(m.want))
	for id, reg := range m.want {
		if m.refused[id] == nil {
			all = append(all, reg)
		}
	}
	slices.SortFunc(all, func(a, b *structs.ServiceRegistration) int { return strings.Compare(a.ID, b.ID) })
	m.sync = false
	m.mu.Unlock()
	err := m.cfg.Catalog.SyncServices(ctx, all)
	m.mu.Lock()
	m.synced = m.cfg.Clock.Now()
	switch {
	case errors.Is(err, link.ErrRefused):
		clear(m.have) // one of them is at fault: told one by one, that one is found
	case err != nil:
		m.sync = true
		m.cfg.Logger.Warn("services could not be registered and are tried again", logx.KeyError, err, logx.KeyCount, len(all))
		return false
	default:
		m.have = make(map[string]*structs.ServiceRegistration, len(all))
		for _, reg := range all {
			m.have[reg.ID] = reg
		}
	}
	return true
}

// withHealth is a registration with the worst status among its checks.
func withHealth(reg *structs.ServiceRegistration, probes []*probe) *structs.ServiceRegistration {
	worst := ""
	for _, p := range probes {
		if p.reg == reg.ID && badness(p.result.Status) > badness(worst) {
			worst = p.result.Status
		}
	}
	if worst == reg.Health {
		return reg
	}
	next := *reg
	next.Health = worst
	return &next
}

// badness orders statuses.
func badness(status string) int {
	return slices.Index([]string{"", StatusSuccess, StatusWarning, StatusPending, StatusFailure}, status)
}

// refreshLocked has the health of a check's registration told if it has changed.
func (m *Manager) refreshLocked(p *probe) {
	reg := m.want[p.reg]
	if reg == nil {
		return
	}
	next := withHealth(reg, m.probes[key{p.alloc, p.result.Task}])
	if next != reg {
		m.want[p.reg] = next
		poke(m.news)
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
