package door

import (
	"log/slog"
	"net/http"
	"net/http/httputil"
	"strconv"

	"github.com/steppe-run/steppe/structs"
)

// maxHops bounds how often a request is passed on: agent to server, server to
// region, server to leader, and one more for a leader that changed on the way.
const maxHops = 4

// hops is how often the request was passed on so far.
func (c *Call) hops() int {
	n, err := strconv.Atoi(c.Request.Header.Get(headerHops))
	if err != nil || !c.inside {
		return 0
	}
	return n
}

// toServers passes a request on to some server of the region.
func (a *API) toServers(c *Call) (Reply, error) {
	if a.cfg.Upstream == nil {
		return Reply{}, ErrNotServer
	}
	return a.forward(c, a.cfg.Upstream, Refuse(http.StatusInternalServerError, "No known servers"))
}

// toLeader passes a request on to the leader.
func (a *API) toLeader(c *Call) (Reply, error) {
	return a.forward(c, patient{a, a.cfg.Server.ForwardTransport()}, structs.ErrNoLeader)
}

// toRegion passes a request on to another region.
func (a *API) toRegion(c *Call) (Reply, error) {
	if a.cfg.Server == nil {
		return a.toServers(c)
	}
	noPath := Refuse(http.StatusInternalServerError, "No path to region")
	if a.cfg.Regions == nil {
		return Reply{}, noPath
	}
	transport, err := a.cfg.Regions.RegionTransport(c.Region)
	if err != nil {
		a.log.Debug("region can't be reached", "request", c.id, "region", c.Region, "error", err)
		return Reply{}, noPath
	}
	return a.forward(c, transport, noPath)
}

// forward passes a request on as it is, streams and upgrades included, and
// sends back whatever the other side answers. If it can't be reached, broken
// is the answer.
func (a *API) forward(c *Call, transport http.RoundTripper, broken error) (Reply, error) {
	hops := c.hops()
	if hops >= maxHops || transport == nil {
		return Reply{}, broken
	}
	own := c.Writer.Header()
	proxy := &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1, // streams are passed on as they come
		ErrorLog:      slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "http", "steppe.invalid"
			p.Out.Host = p.In.Host
			p.Out.Header.Set(headerHops, strconv.Itoa(hops+1))
			p.SetXForwarded()
		},
		ModifyResponse: func(r *http.Response) error {
			for name := range r.Header {
				own.Del(name) // theirs counts
			}
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, r *http.Request, err error) {
			a.log.Debug("request could not be passed on", "request", c.id, "path", r.URL.Path, "error", err)
			a.sendError(c, brokenOff(r, err, broken))
		},
	}
	proxy.ServeHTTP(c.Writer, c.Request)
	return Reply{Sent: true}, nil
}

// brokenOff chooses the answer when passing on failed: the caller may have
// hung up, or sent too much, or the other side is gone.
func brokenOff(r *http.Request, err, broken error) error {
	if r.Context().Err() != nil {
		return r.Context().Err()
	}
	if statusOf(err) == http.StatusRequestEntityTooLarge {
		return err
	}
	return broken
}
