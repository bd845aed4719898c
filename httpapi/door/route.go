package door

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/steppe-run/steppe/httpapi/backend"
	"github.com/steppe-run/steppe/server"
)

// Kind says what a route answers with.
type Kind uint8

// The kinds of answers.
const (
	// KindJSON is one JSON value, or an empty body.
	KindJSON Kind = iota
	// KindStream goes on until one side ends it.
	KindStream
	// KindRaw is bytes that are no JSON: files, profiles, pages.
	KindRaw
	// KindWebsocket upgrades the connection.
	KindWebsocket
)

// Seat says who has to answer a route.
type Seat uint8

// The seats.
const (
	// SeatHere is this agent, whatever it is.
	SeatHere Seat = iota
	// SeatServer is any server of the region.
	SeatServer
	// SeatRead is the leader, or any server if the caller takes stale answers.
	SeatRead
	// SeatWrite is the leader.
	SeatWrite
	// SeatNode is the node that the request names, itself or by an allocation.
	SeatNode
)

// Body says how large a request body may be, and what of it the door reads.
type Body uint8

// The bodies.
const (
	// BodySmall is for everything that carries no job.
	BodySmall Body = iota
	// BodyJob is for jobs; operators may configure the limit.
	BodyJob
	// BodyNode is small, and may name the node that is meant (NodeID).
	BodyNode
)

// Route is one row of the table: what may be asked, by whom, of whom.
type Route struct {
	// Methods are separated by a bar.
	Methods string
	// Unchecked accepts every other method too, as old callers expect of some
	// routes.
	Unchecked bool
	// Path holds parameters as :name. A name that ends in + takes one or more
	// segments, because job ids and variable paths may contain slashes.
	Path string
	// Access names the capability that the caller needs.
	Access   string
	Kind     Kind
	Seat     Seat
	Body     Body
	Blocking bool
	Paged    bool
	// Mutates marks a route that changes something although its method
	// doesn't say so.
	Mutates bool
	// WrongMethod is the status for a known path with an unknown method;
	// zero means 405.
	WrongMethod int
	// Missing is set on a row that is not built: the refusal, a sentence.
	Missing string

	Do    func(*Call) (Reply, error)
	Look  func(*Call, backend.View) (Reply, error)
	Watch []server.Table
}

// Built reports whether the row does something.
func (r *Route) Built() bool { return r.Missing == "" }

// Accepts reports whether the row takes a method.
func (r *Route) Accepts(method string) bool {
	if r.Unchecked {
		return true
	}
	for m := range strings.SplitSeq(r.Methods, "|") {
		if m == method {
			return true
		}
	}
	return false
}

// mutates reports whether a request to the row may change something.
func (r *Route) mutates(method string) bool {
	return r.Mutates || method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
}

// path is one distinct path with its rows.
type path struct {
	Segments []segment
	literals int
	Rows     []*Route
}

// segment is a literal or a parameter.
type segment struct {
	literal string
	Param   string
	many    bool
}

// table finds rows by path.
type table struct {
	rows  []*Route
	paths map[string][]*path // by the second segment, else by the first
}

// NewTable makes a table of rows, unless they contradict each other.
func NewTable(rows []*Route) (*table, error) {
	t := &table{rows: rows, paths: map[string][]*path{}}
	known := map[string]*path{}
	for _, row := range rows {
		if err := row.check(); err != nil {
			return nil, err
		}
		p := known[row.Path]
		if p == nil {
			p = compile(row.Path)
			known[row.Path] = p
			key := p.bucket()
			t.paths[key] = append(t.paths[key], p)
		}
		p.Rows = append(p.Rows, row)
	}
	return t, nil
}

// check refuses a row that can't be answered, or in more than one way.
func (r *Route) check() error {
	ways := 0
	for _, there := range []bool{r.Do != nil, r.Look != nil, r.Missing != ""} {
		if there {
			ways++
		}
	}
	if ways != 1 {
		return fmt.Errorf("check route %s %s: %d ways to answer, want one", r.Methods, r.Path, ways)
	}
	if r.Look != nil && r.Blocking && len(r.Watch) == 0 {
		return fmt.Errorf("check route %s %s: it blocks but watches nothing", r.Methods, r.Path)
	}
	return nil
}

func compile(pattern string) *path {
	p := &path{}
	for part := range strings.SplitSeq(strings.TrimPrefix(pattern, "/"), "/") {
		if name, ok := strings.CutPrefix(part, ":"); ok {
			name, many := strings.CutSuffix(name, "+")
			p.Segments = append(p.Segments, segment{Param: name, many: many})
			continue
		}
		p.Segments = append(p.Segments, segment{literal: part})
		p.literals++
	}
	return p
}

func (p *path) bucket() string {
	if len(p.Segments) > 1 && p.Segments[1].Param == "" {
		return p.Segments[1].literal
	}
	return p.Segments[0].literal
}

// Match returns the most literal path that fits, and its parameters.
func (t *table) Match(escaped string) (*path, map[string]string) {
	parts := strings.Split(strings.TrimPrefix(escaped, "/"), "/")
	key := parts[0]
	if len(parts) > 1 {
		key = parts[1]
	}
	var best *path
	var params map[string]string
	for _, p := range t.paths[key] {
		if best != nil && p.literals <= best.literals {
			continue
		}
		if found, ok := p.match(parts); ok {
			best, params = p, found
		}
	}
	return best, params
}

// match binds parts to the path's segments. At most one segment takes many.
func (p *path) match(parts []string) (map[string]string, bool) {
	spare := len(parts) - len(p.Segments)
	if spare < 0 {
		return nil, false
	}
	params := map[string]string{}
	at := 0
	for _, s := range p.Segments {
		take := 1
		if s.many {
			take += spare
			spare = 0
		}
		text := strings.Join(parts[at:at+take], "/")
		at += take
		if s.Param == "" {
			if text != s.literal {
				return nil, false
			}
			continue
		}
		plain, err := url.PathUnescape(text)
		if err != nil || plain == "" {
			return nil, false
		}
		params[s.Param] = plain
	}
	return params, at == len(parts)
}
