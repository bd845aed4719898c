package httpapi

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
func (c *call) hops() int {
	n, err := strconv.Atoi(c.r.Header.Get(headerHops))
	if err != nil || !c.inside {
		return 0
	}
	return n
}

// toServers passes a request on to some server of the region.
func (a *API) toServers(c *call) (reply, error) {
	if a.cfg.Upstream == nil {
		return reply{}, errNotServer
	}
	return a.forward(c, a.cfg.Upstream, refuse(http.StatusInternalServerError, "No known servers"))
}

// toLeader passes a request on to the leader.
func (a *API) toLeader(c *call) (reply, error) {
	return a.forward(c, patient{a, a.cfg.Server.ForwardTransport()}, structs.ErrNoLeader)
}

// toRegion passes a request on to another region.
func (a *API) toRegion(c *call) (reply, error) {
	if a.cfg.Server == nil {
		return a.toServers(c)
	}
	noPath := refuse(http.StatusInternalServerError, "No path to region")
	if a.cfg.Regions == nil {
		return reply{}, noPath
	}
	transport, err := a.cfg.Regions.RegionTransport(c.region)
	if err != nil {
		a.log.Debug("region can't be reached", "request", c.id, "region", c.region, "error", err)
		return reply{}, noPath
	}
	return a.forward(c, transport, noPath)
}

// forward passes a request on as it is, streams and upgrades included, and
// sends back whatever the other side answers. If it can't be reached, broken
// is the answer.
func (a *API) forward(c *call, transport http.RoundTripper, broken error) (reply, error) {
	hops := c.hops()
	if hops >= maxHops || transport == nil {
		return reply{}, broken
	}
	own := c.w.Header()
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
	proxy.ServeHTTP(c.w, c.r)
	return reply{sent: true}, nil
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
