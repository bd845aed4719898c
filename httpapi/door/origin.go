package door

import (
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// A web page that someone opened in a browser on an operator's machine must
// not be able to drive the API. Browsers tell on such pages: by the Host that
// a rebound name brings along, by Origin and Sec-Fetch-Site, and by the few
// content types that a form can send. Plain programs send none of these.

// knownHosts are the names that a Host header may carry besides the
// listener's own addresses.
func knownHosts(configured []string) map[string]bool {
	hosts := map[string]bool{"localhost": true}
	for _, h := range configured {
		if name, _, err := net.SplitHostPort(h); err == nil {
			h = name
		}
		if h = canonicalHost(h); h != "" {
			hosts[h] = true
		}
	}
	return hosts
}

func canonicalHost(h string) string {
	h = strings.TrimSuffix(strings.ToLower(h), ".")
	h = strings.TrimSuffix(strings.TrimPrefix(h, "["), "]")
	if ip := net.ParseIP(h); ip != nil {
		return ip.String()
	}
	return h
}

// checkHost refuses a request that was addressed to somebody else.
func (a *API) checkHost(c *Call) error {
	if c.inside {
		return nil
	}
	local, _ := c.Request.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local != nil && local.Network() == "unix" {
		return nil // no browser gets there
	}
	host := c.Request.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = canonicalHost(host)
	if a.hosts[host] || strings.HasSuffix(host, ".localhost") || listensOn(local, net.ParseIP(host)) {
		return nil
	}
	return Refuse(http.StatusMisdirectedRequest, "This agent doesn't answer for host %q: use one of its addresses, or add the name to its advertised addresses", host)
}

// listensOn reports whether ip is a loopback address or the one at which the
// connection came in.
func listensOn(local net.Addr, ip net.IP) bool {
	if ip == nil {
		return false
	}
	if ip.IsLoopback() {
		return true
	}
	tcp, ok := local.(*net.TCPAddr)
	return ok && tcp.IP.Equal(ip)
}

// checkOrigin refuses pages of other origins where they could change
// something or open a channel, and bodies of the kind a form sends.
func (a *API) checkOrigin(c *Call) error {
	if c.inside || !c.route.mutates(c.Request.Method) && c.route.Kind != KindWebsocket {
		return nil
	}
	h := c.Request.Header
	site, origin := h.Get("Sec-Fetch-Site"), h.Get("Origin")
	if site != "" && site != "same-origin" && site != "none" || origin != "" && !sameOrigin(origin, c.Request.Host) {
		return Refuse(http.StatusForbidden, "Pages of other origins may not use this API")
	}
	browser := site != "" || origin != "" || h.Get("Cookie") != ""
	if browser && c.route.Kind != KindWebsocket && isForm(h.Get("Content-Type")) {
		return Refuse(http.StatusUnsupportedMediaType, "Content type %q is not accepted from a browser: send application/json", h.Get("Content-Type"))
	}
	return nil
}

func sameOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}

// isForm reports whether a page could send the content type without asking
// the server first.
func isForm(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		kind = strings.ToLower(strings.TrimSpace(contentType))
	}
	switch kind {
	case "application/x-www-form-urlencoded", "multipart/form-data", "text/plain":
		return true
	}
	return false
}

// asksWhether reports whether a request is only a browser's question if pages
// of other origins may read a route. No page may, unless the configured
// headers say so; what changes something stays closed to them.
func (a *API) asksWhether(c *Call) bool {
	r := c.Request
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" &&
		a.cfg.ResponseHeaders["Access-Control-Allow-Origin"] != "" &&
		!c.route.mutates(r.Header.Get("Access-Control-Request-Method"))
}
