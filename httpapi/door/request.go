package door

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-run/steppe/httpapi/backend"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/structs"
)

// Call is one request on its way through a handler.
type Call struct {
	api     *API
	Writer  http.ResponseWriter
	Request *http.Request
	raw     io.ReadCloser // the body without its limit
	route   *Route
	params  map[string]string
	Query   url.Values
	id      string
	inside  bool
	token   string
	body    []byte // kept by decodeOnce
	options
}

// options are what the query string says in the same way for every route.
type options struct {
	Region    string
	Namespace string
	stale     bool
	Index     uint64
	wait      time.Duration
	Prefix    string
	perPage   int
	nextToken string
	Filter    string
	Reverse   bool
	pretty    bool
}

// Reply is what a handler hands back: a value to be sent as JSON, nil for an
// empty body.
type Reply struct {
	Value any
	// Index goes into X-Nomad-Index, if not zero.
	Index uint64
	// next goes into X-Nomad-NextToken.
	next string
	// Status replaces 200.
	Status int
	// Sent says that the handler has written the answer itself.
	Sent bool
}

// What the query string may say of namespaces, and how long callers may wait.
const (
	AnyNamespace     = "*"
	DefaultNamespace = "default"
	maxWait          = 5 * time.Minute
)

// Ctx ends when the caller hangs up.
func (c *Call) Ctx() context.Context { return c.Request.Context() }

// Config is what the agent is made of.
func (c *Call) Config() *Config { return &c.api.cfg }

// Server is this agent's server; nil on an agent that has none.
func (c *Call) Server() backend.Server { return c.api.cfg.Server }

// Clock tells the time.
func (c *Call) Clock() clock.Clock { return c.api.clock }

// Param returns a path parameter.
func (c *Call) Param(name string) string { return c.params[name] }

// Token is the secret that the caller has shown.
func (c *Call) Token() string { return c.token }

// Page is how many items the caller wants at once, 0 if it doesn't say, and the
// token of where the page begins.
func (c *Call) Page() (size int, token string) { return c.perPage, c.nextToken }

// Before is the reply with the token of the page after it; empty for none.
func (r Reply) Before(token string) Reply {
	r.next = token
	return r
}

// Flag reads a boolean of the query; a missing one is false.
func (c *Call) Flag(name string) (bool, error) {
	text := c.Query.Get(name)
	if text == "" {
		return false, nil
	}
	value, err := strconv.ParseBool(text)
	if err != nil {
		return false, Refuse(http.StatusInternalServerError, "Failed to parse value of %q (%s) as a bool: use true or false", name, text)
	}
	return value, nil
}

// Number reads a whole number of the query; a missing one is zero and absent.
func (c *Call) Number(name string) (value uint64, present bool, err error) {
	text := c.Query.Get(name)
	if text == "" {
		return 0, false, nil
	}
	value, err = strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, false, Refuse(http.StatusBadRequest, "Failed to parse value of %q (%s) as a whole number", name, text)
	}
	return value, true, nil
}

// readOptions fills the options that every route understands.
func (c *Call) readOptions() error {
	q := c.Query
	o := options{Region: q.Get("region"), Namespace: q.Get("namespace"), Prefix: q.Get("prefix")}
	o.nextToken, o.Filter = q.Get("next_token"), q.Get("filter")
	o.Reverse = q.Get("reverse") == "true"
	if o.Namespace == "" {
		o.Namespace = DefaultNamespace
	}
	if pretty, ok := q["pretty"]; ok {
		o.pretty = pretty[0] != "0" && pretty[0] != "false"
	}
	var err error
	if text, ok := q["stale"]; ok && text[0] != "" {
		if o.stale, err = strconv.ParseBool(text[0]); err != nil {
			return Refuse(http.StatusBadRequest, "Failed to parse value of \"stale\" (%s) as a bool: use true or false", text[0])
		}
	} else {
		o.stale = ok
	}
	if o.wait, err = waitTime(q.Get("wait")); err != nil {
		return err
	}
	if text := q.Get("index"); text != "" {
		if o.Index, err = strconv.ParseUint(text, 10, 64); err != nil {
			return Refuse(http.StatusBadRequest, "Invalid index")
		}
	}
	if text := q.Get("per_page"); text != "" {
		page, err := strconv.ParseInt(text, 10, 32)
		if err != nil || page < 0 {
			return Refuse(http.StatusBadRequest, "Expect a number for `per_page` query string parameter")
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
		return 0, Refuse(http.StatusBadRequest, "Invalid wait time")
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

// Decode reads the JSON body into v. A missing body is refused.
func (c *Call) Decode(v any) error {
	empty, err := c.DecodeOptional(v)
	if err == nil && empty {
		return Refuse(http.StatusBadRequest, "Request body is empty")
	}
	return err
}

// DecodeOnce is decode for functions that run again while a caller waits.
func (c *Call) DecodeOnce(v any) error {
	if c.body == nil {
		body, err := io.ReadAll(c.Request.Body)
		if err != nil {
			return err
		}
		c.body = body
	}
	c.Request.Body = io.NopCloser(bytes.NewReader(c.body))
	return c.Decode(v)
}

// DecodeOptional reads the JSON body, if there is one, into v.
func (c *Call) DecodeOptional(v any) (empty bool, err error) {
	var body io.Reader = c.Request.Body
	if quick, ok := v.(quickReader); ok {
		text, err := io.ReadAll(c.Request.Body)
		if err == nil && quick.ReadJSON(text) == nil {
			return false, nil
		}
		body = io.MultiReader(bytes.NewReader(text), failing{err})
	}
	dec := json.NewDecoder(body)
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
	return false, Refuse(http.StatusBadRequest, "%s", jsonFault(err, dec.InputOffset()))
}

// quickReader is what can be read faster than package json does by itself. It
// may leave what it was given half read, if it fails.
type quickReader interface{ ReadJSON(data []byte) error }

// failing is the end of a body: an error, or none.
type failing struct{ err error }

// Read implements io.Reader.
func (f failing) Read([]byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return 0, io.EOF
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

// RecordID refuses ids that can't name a record before they are looked up. The
// status and the first words are the interface's: tools match on them.
func RecordID(noun, id string) error {
	if len(id) != 36 {
		return Refuse(http.StatusInternalServerError, "%s lookup failed: index error: UUID must be 36 characters, %q has %d: "+
			"reading one takes its full ID, which the list finds with ?prefix=", noun, id, len(id))
	}
	if !ids.Valid(id) {
		return Refuse(http.StatusInternalServerError, "%s lookup failed: index error: Invalid UUID: %q is not 32 hexadecimal digits in groups of 8-4-4-4-12", noun, id)
	}
	return nil
}

// WriteRequest is who asks, and where.
func (c *Call) WriteRequest(namespace string) structs.WriteRequest {
	return structs.WriteRequest{
		Region:    cmp.Or(c.Region, c.api.cfg.Region),
		Namespace: cmp.Or(namespace, c.Namespace),
		SecretID:  c.token,
	}
}
