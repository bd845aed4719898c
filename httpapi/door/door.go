package door

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	metrics "github.com/hashicorp/go-metrics"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/internal/logx"
)

// The headers that agents say things to each other with. They are believed
// only from another agent, never from the public listener.
const (
	headerHops      = "X-Steppe-Hops"
	headerRequestID = "X-Request-Id"
)

const (
	lingerTime  = 2 * time.Second
	lingerBytes = 16 << 20
)

// ServeHTTP answers a request from the public listener. It is the one door:
// host, route, origin, body, options and seat are checked here, so that
// handlers see only requests that may be meant.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Header.Del(headerHops)
	a.serve(w, r, false)
}

// Inside returns the handler for requests that another agent forwarded over a
// connection on which it has proved who it is.
func (a *API) Inside() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, true) })
}

func (a *API) serve(w http.ResponseWriter, r *http.Request, inside bool) {
	began := a.clock.Now()
	rec := &recorder{ResponseWriter: w}
	c := &Call{api: a, Writer: rec, Request: r, raw: r.Body, inside: inside, token: tokenOf(r), Query: r.URL.Query()}
	c.id = r.Header.Get(headerRequestID)
	if !inside || c.id == "" {
		c.id = ids.New()
		r.Header.Set(headerRequestID, c.id)
	}
	rec.Header().Set(headerRequestID, c.id)
	for name, value := range a.cfg.ResponseHeaders {
		rec.Header().Set(name, value)
	}
	defer a.finish(c, rec, began)

	rep, err := a.admit(c)
	switch {
	case err != nil:
		a.sendError(c, err)
		if statusOf(err) == http.StatusRequestEntityTooLarge {
			a.linger(c)
		}
	case !rep.Sent:
		a.send(c, rep)
	}
}

// admit takes a request through the door and to whoever answers it.
func (a *API) admit(c *Call) (Reply, error) {
	if err := a.checkHost(c); err != nil {
		return Reply{}, err
	}
	if err := a.findRoute(c); err != nil {
		return Reply{}, err
	}
	if a.asksWhether(c) {
		return Reply{Status: http.StatusNoContent}, nil
	}
	if err := a.checkOrigin(c); err != nil {
		return Reply{}, err
	}
	if !c.route.Built() {
		return Reply{}, &statusError{http.StatusNotImplemented, c.route.Missing}
	}
	if err := a.limitBody(c); err != nil {
		return Reply{}, err
	}
	if err := c.readOptions(); err != nil {
		return Reply{}, err
	}
	return a.seat(c)
}

// findRoute finds the row for the request's path and method.
func (a *API) findRoute(c *Call) error {
	found, params := a.table.Match(c.Request.URL.EscapedPath())
	if found == nil {
		return notFoundText(c.Request.URL.Path)
	}
	c.params = params
	method := c.Request.Method
	if method == http.MethodOptions && c.Request.Header.Get("Origin") != "" {
		method = c.Request.Header.Get("Access-Control-Request-Method")
	}
	for _, row := range found.Rows {
		if row.Accepts(method) {
			c.route = row
			return nil
		}
	}
	first := found.Rows[0]
	if first.WrongMethod != 0 {
		return Refuse(first.WrongMethod, "%s", http.StatusText(first.WrongMethod))
	}
	for _, row := range found.Rows {
		c.Writer.Header().Add("Allow", strings.ReplaceAll(row.Methods, "|", ", "))
	}
	return errMethod
}

// limitBody refuses a body that says it is too large, and stops reading one
// that turns out to be.
func (a *API) limitBody(c *Call) error {
	limit := int64(maxSmallBody)
	if c.route.Body == BodyJob {
		limit = a.cfg.MaxJobBody
	}
	if c.Request.ContentLength > limit {
		return tooLarge(limit)
	}
	if c.Request.ContentLength != 0 {
		c.Request.Body = http.MaxBytesReader(c.Writer, c.raw, limit)
	}
	return nil
}

// linger reads on, for a while, what a caller goes on sending after it was
// refused: to close the connection at once would cost it the answer.
func (a *API) linger(c *Call) {
	ctl := http.NewResponseController(c.Writer)
	_ = ctl.Flush() // as far as it goes
	if ctl.SetReadDeadline(a.clock.Now().Add(lingerTime)) == nil {
		_, _ = io.CopyN(io.Discard, c.raw, lingerBytes) // nobody wants it
	}
}

// finish ends a request: a panic becomes a refusal, and the request is
// measured.
func (a *API) finish(c *Call, rec *recorder, began time.Time) {
	if fault := recover(); fault != nil {
		if err, ok := fault.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(fault) // the server's own way to end a broken stream
		}
		a.log.Error("request handler panicked", "request", c.id, "method", c.Request.Method, "path", c.Request.URL.Path,
			"panic", fault, "stack", string(debug.Stack()))
		if rec.status == 0 {
			a.sendError(c, Refuse(http.StatusInternalServerError, "Internal error; the agent's log tells more under request %s", c.id))
		}
	}
	took := a.clock.Now().Sub(began)
	route := "unknown"
	if c.route != nil {
		route = strings.ReplaceAll(c.route.Path, "+", "")
	}
	if a.log.Enabled(c.Request.Context(), slog.LevelDebug) {
		a.log.Debug("request answered", "request", c.id, "method", c.Request.Method, "path", c.Request.URL.Path,
			"status", rec.status, logx.KeyDuration, took)
	}
	if a.cfg.Metrics != nil {
		a.cfg.Metrics.AddSampleWithLabels([]string{"http", "request"}, float32(took.Seconds()*1000), []metrics.Label{
			{Name: "method", Value: c.Request.Method}, {Name: "path", Value: route}, {Name: "status", Value: statusClass(rec.status)},
		})
	}
}

// statusClass keeps the label small: 2xx, 3xx, 4xx or 5xx.
func statusClass(status int) string {
	if status < 100 || status > 599 {
		return "none"
	}
	return string(rune('0'+status/100)) + "xx"
}

// recorder remembers the status that was sent.
type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 || status == http.StatusSwitchingProtocols {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
