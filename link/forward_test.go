package link

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/link/certs"
)

func TestRequestsAreForwarded(t *testing.T) {
	a := newAuthority(t, certs.CAOptions{})
	server := a.tls(certs.CertOptions{Name: "server"}, certs.RoleServer)
	client := a.tls(certs.CertOptions{Name: "client"}, certs.RoleClient)
	mux, in := serveMux(t, server, ALPNHTTP)
	web := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, r.Method+" "+r.Host+r.URL.String()+" "+string(body))
	})}
	group := loop.New(t.Context())
	group.Go("web", func(context.Context) error {
		if err := web.Serve(in[ALPNHTTP]); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	defer func() {
		_ = web.Close()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	}()
	for _, id := range []*certs.TLS{server, client} {
		tr := HTTPTransport(mux.Addr().String(), id)
		for range 2 {
			resp, err := (&http.Client{Transport: tr, Timeout: 5 * time.Second}).Post("http://somewhere/v1/jobs?x=1", "text/plain", strings.NewReader("job"))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if string(got) != "POST somewhere/v1/jobs?x=1 job" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		}
		tr.CloseIdleConnections()
	}
}
