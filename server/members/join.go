package members

import (
	"context"
	"fmt"
	"time"

	"github.com/steppe-run/steppe/internal/logx"
)

// join meets the configured servers. Servers are often started together, so
// the first attempts follow each other quickly; the configured interval is
// where the growing pause ends.
func (m *Members) join(ctx context.Context) error {
	if len(m.cfg.RetryJoin) == 0 {
		return nil
	}
	pause := 100 * time.Millisecond
	for full := 0; ; {
		n, err := m.serf.Join(m.cfg.RetryJoin, true)
		if n > 0 && len(m.List()) > 1 {
			m.log.Info("joined", logx.KeyCount, n)
			return nil
		}
		if pause >= m.cfg.RetryInterval {
			full++
			m.log.Info("no server has answered yet", logx.KeyError, err)
		}
		if m.cfg.RetryMax > 0 && full >= m.cfg.RetryMax {
			return fmt.Errorf("retry_join: no server answered in %d attempts: %w", full, err)
		}
		if !m.pause(ctx, pause) {
			return nil
		}
		pause = min(2*pause, m.cfg.RetryInterval)
	}
}

// pause waits for d; false if ctx ended.
func (m *Members) pause(ctx context.Context, d time.Duration) bool {
	timer := m.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
		return true
	case <-ctx.Done():
		return false
	}
}

// await waits for a change, at most d; false if ctx ended.
func (m *Members) await(ctx context.Context, changed <-chan struct{}, d time.Duration) bool {
	timer := m.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-changed:
		return true
	case <-timer.C():
		return true
	case <-ctx.Done():
		return false
	}
}
