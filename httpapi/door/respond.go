package door

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/steppe-run/steppe/structs"
)

// gzipFrom is the size from which compressing pays.
const gzipFrom = 1024

// send writes a handler's reply.
func (a *API) send(c *Call, rep Reply) {
	h := c.Writer.Header()
	if rep.Index > 0 {
		h.Set("X-Nomad-Index", strconv.FormatUint(rep.Index, 10))
	}
	if rep.next != "" {
		h.Set("X-Nomad-NextToken", rep.next)
	}
	status := rep.Status
	if status == 0 {
		status = http.StatusOK
	}
	if rep.Value == nil {
		c.Writer.WriteHeader(status)
		return
	}
	body, err := encode(rep.Value, c.pretty)
	if err != nil {
		a.sendError(c, err)
		return
	}
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	a.write(c, status, body)
}

// encode makes JSON as clients expect it: no escapes for HTML, and four
// blanks of indent for people.
func encode(v any, pretty bool) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if pretty {
		enc.SetIndent("", "    ")
	}
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	if pretty {
		return b.Bytes(), nil
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// write sends a body, compressed if the caller takes that and it pays.
func (a *API) write(c *Call, status int, body []byte) {
	h := c.Writer.Header()
	h.Add("Vary", "Accept-Encoding")
	if len(body) < gzipFrom || !takesGzip(c.Request) {
		h.Set("Content-Length", strconv.Itoa(len(body)))
		c.Writer.WriteHeader(status)
		_, _ = c.Writer.Write(body) // the caller hung up; nobody is left to tell
		return
	}
	h.Set("Content-Encoding", "gzip")
	c.Writer.WriteHeader(status)
	zip, _ := a.gzips.Get().(*gzip.Writer)
	if zip == nil {
		zip = gzip.NewWriter(c.Writer)
	} else {
		zip.Reset(c.Writer)
	}
	_, _ = zip.Write(body) // see above
	_ = zip.Close()        // see above
	a.gzips.Put(zip)
}

func takesGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			return strings.ReplaceAll(q, " ", "") != "q=0"
		}
	}
	return false
}

// sendError writes a refusal: its text, plain, and nothing else.
func (a *API) sendError(c *Call, err error) {
	status := statusOf(err)
	if status == statusClientGone && c.Request.Context().Err() != nil {
		return
	}
	if status >= http.StatusInternalServerError && status != http.StatusNotImplemented {
		a.log.Debug("request refused", "request", c.id, "method", c.Request.Method, "path", c.Request.URL.Path, "status", status, "error", err)
	}
	text := err.Error()
	h := c.Writer.Header()
	h.Del("Content-Encoding")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	c.Writer.WriteHeader(status)
	_, _ = c.Writer.Write([]byte(text)) // the caller hung up; nobody is left to tell
}

// notFoundText is the answer to a path that no row describes.
func notFoundText(p string) error {
	for _, noun := range []string{"/v1/allocation/", "/v1/volume/"} {
		if strings.HasPrefix(p, noun) {
			return Refuse(http.StatusNotFound, "resource not found")
		}
	}
	return &statusError{status: http.StatusNotFound}
}

// Wrote answers a write with what it returned.
func Wrote[T any](value *T, index uint64, err error) (Reply, error) {
	if err != nil {
		return Reply{}, err
	}
	return Reply{Value: value, Index: index}, nil
}

// Done answers a write that has nothing to tell but its index.
func Done(index uint64, err error) (Reply, error) {
	return Reply{Index: index}, err
}

// QueryMeta repeats the headers in the body, for the few answers that do.
func (c *Call) QueryMeta(index uint64) structs.QueryMeta {
	srv := c.api.cfg.Server
	_, known := srv.Leader()
	return structs.QueryMeta{LastIndex: index, LastContact: srv.LeaderContact(), KnownLeader: known || srv.IsLeader()}
}
