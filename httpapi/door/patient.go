package door

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/steppe-run/steppe/structs"
)

// retryPause is how long a request rests that found nobody at the leader's
// address.
const retryPause = 100 * time.Millisecond

// patient carries requests to the leader and tries again, for as long as an
// election may take, while nobody can be reached there. What may have been
// heard is never said twice.
type patient struct {
	api *API
	to  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (p patient) RoundTrip(r *http.Request) (*http.Response, error) {
	end := p.api.clock.Now().Add(p.api.cfg.LeaderWait)
	body := &untouched{from: r.Body}
	for {
		try := r.Clone(r.Context())
		if r.Body != nil && r.Body != http.NoBody {
			try.Body = body
		}
		resp, err := p.to.RoundTrip(try)
		if err == nil || body.touched.Load() || !unreachable(err) || !p.api.clock.Now().Before(end) {
			return resp, err
		}
		if err := p.api.pause(r.Context(), retryPause); err != nil {
			return nil, err
		}
	}
}

// unreachable reports whether a request got nowhere.
func unreachable(err error) bool {
	var op *net.OpError
	var kind *structs.Error
	return errors.As(err, &op) && op.Op == "dial" ||
		errors.As(err, &kind) && (kind.Kind == structs.KindNoLeader || kind.Kind == structs.KindNotLeader)
}

// untouched is a body that knows whether it was read. It can't be closed: it
// may be needed again.
type untouched struct {
	from    io.Reader
	touched atomic.Bool
}

// Read implements io.Reader.
func (u *untouched) Read(p []byte) (int, error) {
	u.touched.Store(true)
	return u.from.Read(p)
}

// Close implements io.Closer.
func (u *untouched) Close() error { return nil }
