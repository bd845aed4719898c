package link

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/steppe-run/steppe/link/certs"
)

// HTTPTransport sends HTTP/1.1 requests, upgrades included, to the server at
// addr whatever the request's URL names; the URL's scheme must be http. Close
// its idle connections when done.
func HTTPTransport(addr string, t *certs.TLS) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return Dial(ctx, addr, t, ALPNHTTP)
		},
		DisableCompression:  true, // bytes go through as they are
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     90 * time.Second,
	}
}
