package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-run/steppe/internal/ids"
)

// call is one request on its way through a handler.
type call struct {
	api    *API
	w      http.ResponseWriter
	r      *http.Request
	raw    io.ReadCloser // the body without its limit
	route  *Route
	params map[string]string
	query  url.Values
	id     string
	inside bool
	token  string
	body   []byte // kept by decodeOnce
	options
}

// options are what the query string says in the same way for every route.
type options struct {
	region    string
	namespace string
	stale     bool
	index     uint64
	wait      time.Duration
	prefix    string
	perPage   int
	nextToken string
	filter    string
	reverse   bool
	pretty    bool
}

// reply is what a handler hands back: a value to be sent as JSON, nil for an
// empty body.
type reply struct {
	value any
	// index goes into X-Nomad-Index, if not zero.
	index uint64
	// next goes into X-Nomad-NextToken.
	next string
	// status replaces 200.
	status int
	// sent says that the handler has written the answer itself.
	sent bool
}

const (
	anyNamespace     = "*"
	defaultNamespace = "default"
	maxWait          = 5 * time.Minute
)

func (c *call) ctx() context.Context { return c.r.Context() }

// param returns a path parameter.
func (c *call) param(name string) string { return c.params[name] }

// flag reads a boolean of the query; a missing one is false.
func (c *call) flag(name string) (bool, error) {
	text := c.query.Get(name)
	if text == "" {
		return false, nil
	}
	value, err := strconv.ParseBool(text)
	if err != nil {
		return false, refuse(http.StatusInternalServerError, "Failed to parse value of %q (%s) as a bool: use true or false", name, text)
	}
	return value, nil
}

// number reads a whole number of the query; a missing one is zero and absent.
func (c *call) number(name string) (value uint64, present bool, err error) {
	text := c.query.Get(name)
	if text == "" {
		return 0, false, nil
	}
	value, err = strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, false, refuse(http.StatusBadRequest, "Failed to parse value of %q (%s) as a whole number", name, text)
	}
	return value, true, nil
}

// readOptions fills the options that every route understands.
func (c *call) readOptions() error {
	q := c.query
	o := options{region: q.Get("region"), namespace: q.Get("namespace"), prefix: q.Get("prefix")}
	o.nextToken, o.filter = q.Get("next_token"), q.Get("filter")
	o.reverse = q.Get("reverse") == "true"
	if o.namespace == "" {
		o.namespace = defaultNamespace
	}
	if pretty, ok := q["pretty"]; ok {
		o.pretty = pretty[0] != "0" && pretty[0] != "false"
	}
	var err error
	if text, ok := q["stale"]; ok && text[0] != "" {
		if o.stale, err = strconv.ParseBool(text[0]); err != nil {
			return refuse(http.StatusBadRequest, "Failed to parse value of \"stale\" (%s) as a bool: use true or false", text[0])
		}
	} else {
		o.stale = ok
	}
	if o.wait, err = waitTime(q.Get("wait")); err != nil {
		return err
	}
	if text := q.Get("index"); text != "" {
		if o.index, err = strconv.ParseUint(text, 10, 64); err != nil {
			return refuse(http.StatusBadRequest, "Invalid index")
		}
	}
	if text := q.Get("per_page"); text != "" {
		page, err := strconv.ParseInt(text, 10, 32)
		if err != nil || page < 0 {
			return refuse(http.StatusBadRequest, "Expect a number for `per_page` query string parameter")
		}
		o.perPage = int(page)
	}
	c.options = o
	return nil
}

// waitTime reads how long a blocking query may wait: a duration, or a number
// of nanoseconds as some programs send it.
func waitTime(text string) (time.Duration, error) {
	if text == "" {
		return maxWait, nil
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait < 0 {
		return 0, refuse(http.StatusBadRequest, "Invalid wait time")
	}
	if wait == 0 || wait > maxWait {
		wait = maxWait
	}
	return wait, nil
}

// tokenOf extracts the secret that a request carries, in either header.
func tokenOf(r *http.Request) string {
	if secret := strings.TrimSpace(r.Header.Get("X-Nomad-Token")); secret != "" {
		return secret
	}
	scheme, secret, found := strings.Cut(r.Header.Get("Authorization"), " ")
	if found && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(secret)
	}
	return ""
}

// decode reads the JSON body into v. A missing body is refused.
func (c *call) decode(v any) error {
	empty, err := c.decodeOptional(v)
	if err == nil && empty {
		return refuse(http.StatusBadRequest, "Request body is empty")
	}
	return err
}

// decodeOnce is decode for functions that run again while a caller waits.
func (c *call) decodeOnce(v any) error {
	if c.body == nil {
		body, err := io.ReadAll(c.r.Body)
		if err != nil {
			return err
		}
		c.body = body
	}
	c.r.Body = io.NopCloser(bytes.NewReader(c.body))
	return c.decode(v)
}

// decodeOptional reads the JSON body, if there is one, into v.
func (c *call) decodeOptional(v any) (empty bool, err error) {
	dec := json.NewDecoder(c.r.Body)
	err = dec.Decode(v)
	var large *http.MaxBytesError
	switch {
	case err == nil:
		return false, nil
	case errors.Is(err, io.EOF):
		return true, nil
	case errors.As(err, &large):
		return false, tooLarge(large.Limit)
	}
	return false, refuse(http.StatusBadRequest, "%s", jsonFault(err, dec.InputOffset()))
}

// jsonFault tells what is wrong with a JSON body, and where.
func jsonFault(err error, offset int64) string {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return "Failed to decode the request body as JSON at byte " + strconv.FormatInt(syntax.Offset, 10) + ": " + err.Error()
	case errors.As(err, &kind):
		return "Failed to decode the request body: field " + strconv.Quote(kind.Field) + " can't take a JSON " + kind.Value + " (byte " + strconv.FormatInt(kind.Offset, 10) + ")"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "Failed to decode the request body as JSON: it ends after byte " + strconv.FormatInt(offset, 10) + ", in the middle of a value"
	}
	return "Failed to decode the request body as JSON: " + err.Error()
}

// recordID refuses ids that can't name a record before they are looked up.
func recordID(noun, id string) error {
	if len(id) != 36 {
		return refuse(http.StatusInternalServerError, "%s lookup failed: index error: UUID must be 36 characters", noun)
	}
	if !ids.Valid(id) {
		return refuse(http.StatusInternalServerError, "%s lookup failed: index error: Invalid UUID: %s", noun, id)
	}
	return nil
}
