package door

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-run/steppe/structs"
)

// leaderPoll is how often a request that waits for a leader looks again.
const leaderPoll = 25 * time.Millisecond

// seat takes a request to whoever has to answer it.
func (a *API) seat(c *Call) (Reply, error) {
	r := c.route
	if r.Seat == SeatHere {
		return a.answer(c)
	}
	if c.Region != "" && c.Region != a.cfg.Region {
		return a.toRegion(c)
	}
	if r.Seat == SeatNode {
		return a.toNode(c)
	}
	if a.cfg.Server == nil {
		return a.toServers(c)
	}
	if r.Seat == SeatServer || r.Seat == SeatRead && c.stale {
		return a.answer(c)
	}
	here, err := a.awaitLeader(c)
	switch {
	case err != nil:
		return Reply{}, notLeading(err)
	case !here:
		return a.toLeader(c)
	}
	rep, err := a.answer(c)
	return rep, notLeading(err)
}

// catchUp makes sure that a read sees everything acknowledged before.
func (a *API) catchUp(c *Call) error {
	if c.route.Seat != SeatRead {
		return nil
	}
	return a.cfg.Server.ConsistentIndex(c.Ctx())
}

// lostLead reports whether an error says that this server doesn't lead.
func lostLead(err error) bool {
	var kind *structs.Error
	return errors.As(err, &kind) && (kind.Kind == structs.KindNotLeader || kind.Kind == structs.KindNoLeader)
}

// notLeading says of a server that stopped leading in the middle of a request
// what callers know how to handle: try again.
func notLeading(err error) error {
	if lostLead(err) {
		return structs.ErrNoLeader
	}
	return err
}

// answer runs the row's function.
func (a *API) answer(c *Call) (Reply, error) {
	if c.route.Look != nil {
		return a.read(c)
	}
	return c.route.Do(c)
}

// awaitLeader waits, for a bounded time, until this server leads and knows all
// that the request must see (true), or knows who leads (false).
func (a *API) awaitLeader(c *Call) (here bool, err error) {
	end := a.clock.Now().Add(a.cfg.LeaderWait)
	for {
		if a.cfg.Server.Leading() {
			if err = a.catchUp(c); err == nil || !lostLead(err) {
				return err == nil, err
			}
		}
		if _, known := a.cfg.Server.Leader(); known && !a.cfg.Server.IsLeader() {
			return false, nil
		}
		if !a.clock.Now().Before(end) {
			return false, structs.ErrNoLeader
		}
		if err := a.pause(c.Ctx(), leaderPoll); err != nil {
			return false, err
		}
	}
}

func (a *API) pause(ctx context.Context, d time.Duration) error {
	t := a.clock.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C():
		return nil
	}
}

// read answers from a view, again and again while the caller waits for
// something newer than it has.
func (a *API) read(c *Call) (Reply, error) {
	srv := a.cfg.Server
	if srv == nil {
		return a.toServers(c)
	}
	a.tellFreshness(c)
	var patience <-chan time.Time
	for {
		var changed <-chan struct{}
		if c.blocks() {
			changed = srv.Store().Changed(c.route.Watch...)
		}
		rep, err := c.route.Look(c, srv.Store().Snapshot())
		if err != nil || changed == nil || rep.Index > c.Index {
			return rep, err
		}
		if patience == nil {
			t := a.clock.NewTimer(c.wait + jitter(c.wait, c.id))
			defer t.Stop()
			patience = t.C()
		}
		select {
		case <-changed:
		case <-patience:
			return rep, nil
		case <-c.Draining():
			return rep, nil
		case <-c.Ctx().Done():
			return Reply{}, c.Ctx().Err()
		}
	}
}

func (c *Call) blocks() bool { return c.route.Blocking && c.Index > 0 }

// jitter spreads the callers that wait equally long over a sixteenth of it.
func jitter(wait time.Duration, id string) time.Duration {
	if len(id) < 8 {
		return 0
	}
	n, err := strconv.ParseUint(id[:8], 16, 32) // ids begin with random hex digits
	if err != nil {
		return 0
	}
	return time.Duration(float64(wait/16) * float64(n) / (1 << 32))
}

// tellFreshness sets the headers that say how much an answer is worth.
func (a *API) tellFreshness(c *Call) {
	srv := a.cfg.Server
	_, known := srv.Leader()
	contact := srv.LeaderContact()
	if srv.IsLeader() {
		known, contact = true, 0
	}
	h := c.Writer.Header()
	h.Set("X-Nomad-KnownLeader", strconv.FormatBool(known))
	h.Set("X-Nomad-LastContact", strconv.FormatInt(contact.Milliseconds(), 10))
}

// toNode takes a request to the node that it names.
func (a *API) toNode(c *Call) (Reply, error) {
	c.Request.URL = nodeURL(c.Request.URL)
	nodeID, err := a.nodeOf(c)
	if err != nil {
		return Reply{}, err
	}
	return a.atNode(c, nodeID)
}

// AtNode hands a request to the node of that name, wherever it is connected.
func (c *Call) AtNode(nodeID string) (Reply, error) { return c.api.atNode(c, nodeID) }

func (a *API) atNode(c *Call, nodeID string) (Reply, error) {
	node, srv := a.cfg.Node, a.cfg.Server
	if node != nil && nodeID == node.NodeID() {
		return a.here(c)
	}
	if srv == nil {
		return a.toServers(c)
	}
	if nodeID == "" || srv.Store().Snapshot().Node(nodeID) == nil {
		return a.orLeader(c, a.unknownTarget(c, nodeID))
	}
	transport, err := srv.NodeTransport(nodeID)
	if err != nil {
		a.log.Debug("node can't be reached from here", "request", c.id, "node_id", nodeID, "error", err)
		return a.orLeader(c, Refuse(http.StatusNotFound, "No path to node %q: it isn't connected to any server right now", nodeID))
	}
	return a.forward(c, transport, Refuse(http.StatusNotFound, "No path to node %q: the connection broke", nodeID))
}

// nodeOf finds out which node a request means: the one that keeps the
// allocation, the one in the query, or this one. Empty means that it isn't
// known here.
func (a *API) nodeOf(c *Call) (string, error) {
	local := ""
	if a.cfg.Node != nil {
		local = a.cfg.Node.NodeID()
	}
	id := c.Param("alloc_id")
	if id == "" {
		if id, err := c.namedNode(); err != nil || id != "" {
			return id, err
		}
		if local == "" {
			return "", Refuse(http.StatusBadRequest, "No local Node and node_id not provided")
		}
		return local, nil
	}
	if err := RecordID("alloc", id); err != nil {
		return "", err
	}
	if local != "" && a.cfg.Node.HasAlloc(id) {
		return local, nil
	}
	if a.cfg.Server == nil {
		return "", nil
	}
	if alloc := a.cfg.Server.Store().Snapshot().Alloc(id); alloc != nil {
		return alloc.NodeID, nil
	}
	return "", nil
}

// namedNode is the node that a request names in its query or its body, "" if it
// names none.
func (c *Call) namedNode() (string, error) {
	id := c.Query.Get("node_id")
	if id == "" && c.route.Body == BodyNode && c.Request.Method != http.MethodGet {
		var named struct{ NodeID string }
		if err := c.DecodeOnce(&named); err != nil {
			return "", err
		}
		c.Request.Body = io.NopCloser(bytes.NewReader(c.body))
		id = named.NodeID
	}
	if id == "" {
		return "", nil
	}
	return id, RecordID("node", id)
}

func (a *API) unknownTarget(c *Call, nodeID string) error {
	if id := c.Param("alloc_id"); id != "" && nodeID == "" {
		return Refuse(http.StatusNotFound, "Unknown allocation %q", id)
	}
	return Refuse(http.StatusNotFound, "Unknown node %q", nodeID)
}

// orLeader asks the leader before a follower gives up with err.
func (a *API) orLeader(c *Call, err error) (Reply, error) {
	srv := a.cfg.Server
	if _, known := srv.Leader(); srv.IsLeader() || !known || c.hops() > 0 {
		return Reply{}, err
	}
	return a.toLeader(c)
}

// nodeURL is the path under which nodes answer, for the routes that callers
// may also find elsewhere.
func nodeURL(u *url.URL) *url.URL {
	rest, elsewhere := strings.CutPrefix(u.Path, "/v1/allocation/")
	if !elsewhere {
		return u
	}
	moved := *u
	moved.Path, moved.RawPath = "/v1/client/allocation/"+rest, ""
	return &moved
}

// here hands a request to the agent's own node.
func (a *API) here(c *Call) (Reply, error) {
	a.cfg.Node.Handler().ServeHTTP(c.Writer, c.Request)
	return Reply{Sent: true}, nil
}

// NodeAnswers hands a request to this agent's node; the seat has made sure
// that it is meant.
func NodeAnswers(c *Call) (Reply, error) { return c.api.here(c) }
