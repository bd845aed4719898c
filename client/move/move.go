// Package move brings the ephemeral disk of an allocation from the node that ran
// it to the node that replaces it: it waits until the old one has ended, and
// reads its data through the servers, which know where it is and check that this
// node is to have it.
//
// It must not know where the data goes. Begin reading at Mover.Fetch.
package move

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

const (
	// waitPatience bounds the wait for the old allocation to end.
	waitPatience = 10 * time.Minute
	// ask is how long one question whether it has ended stays open.
	ask = time.Minute
	// slowest is how much of a disk has to come in a second.
	slowest = 1 << 20
	// tries and pause are how often, and after what time, servers that don't
	// answer, or don't know yet what this node does, are asked again.
	tries = 5
	pause = time.Second
	// maxAnswer is the most that is read of an allocation or of an error.
	maxAnswer = 8 << 20
)

// Mover reads what allocations left on other nodes.
type Mover struct {
	// Servers carries HTTP requests to some server of the region.
	Servers http.RoundTripper
	// Secret is this node's: it proves who asks.
	Secret string
	Clock  clock.Clock
}

// gone says why there is nothing to bring.
type gone struct{ why string }

func (g gone) Error() string { return g.why }

// Fetch waits until the allocation that next replaces has ended, and hands its
// ephemeral disk, as an archive, to unpack.
func (m *Mover) Fetch(ctx context.Context, next *structs.Allocation, unpack func(io.Reader) error) error {
	if err := m.awaitEnd(ctx, next.PreviousAllocation); err != nil {
		return err
	}
	size := 0
	if g := next.Job.LookupTaskGroup(next.TaskGroup); g != nil && g.EphemeralDisk != nil {
		size = structs.Value(g.EphemeralDisk.SizeMB)
	}
	ctx, cancel := loop.WithTimeout(ctx, waitPatience+time.Duration(size)*(1<<20/slowest)*time.Second)
	defer cancel()
	path := "/v1/client/allocation/" + url.PathEscape(next.PreviousAllocation) + "/snapshot?for=" + url.QueryEscape(next.ID)
	reply, err := m.patiently(ctx, path)
	if err != nil {
		return err
	}
	defer func() { _ = reply.Body.Close() }() // only read
	return unpack(reply.Body)
}

// awaitEnd asks until an allocation has ended.
func (m *Mover) awaitEnd(ctx context.Context, id string) error {
	late := m.Clock.Now().Add(waitPatience)
	var index uint64
	for m.Clock.Now().Before(late) {
		query := url.Values{"wait": {ask.String()}, "index": {strconv.FormatUint(index, 10)}}
		reply, err := m.patiently(ctx, "/v1/allocation/"+url.PathEscape(id)+"?"+query.Encode())
		if err != nil {
			return err
		}
		var old struct {
			ClientStatus string
			ModifyIndex  uint64
		}
		err = json.NewDecoder(io.LimitReader(reply.Body, maxAnswer)).Decode(&old)
		if err = errors.Join(err, reply.Body.Close()); err != nil {
			return fmt.Errorf("read allocation: %w", err)
		}
		switch old.ClientStatus {
		case structs.AllocClientComplete, structs.AllocClientFailed:
			return nil
		case structs.AllocClientLost, structs.AllocClientUnknown:
			return gone{"its node is " + old.ClientStatus}
		}
		index = old.ModifyIndex
	}
	return gone{fmt.Sprintf("it has not ended within %s", waitPatience)}
}

// patiently asks again for what only fails for the moment.
func (m *Mover) patiently(ctx context.Context, path string) (*http.Response, error) {
	var err error
	for range tries {
		var reply *http.Response
		if reply, err = m.get(ctx, path); err == nil {
			return reply, nil
		}
		if err := loop.Sleep(ctx, m.Clock, pause); err != nil {
			return nil, err
		}
	}
	return nil, err
}

func (m *Mover) get(ctx context.Context, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://steppe.invalid"+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("X-Nomad-Token", m.Secret)
	reply, err := m.Servers.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if reply.StatusCode == http.StatusOK {
		return reply, nil
	}
	text, err := io.ReadAll(io.LimitReader(reply.Body, 1<<10))
	if err = errors.Join(err, reply.Body.Close()); err != nil {
		return nil, err
	}
	return nil, gone{fmt.Sprintf("%s (%d)", strings.TrimSpace(string(text)), reply.StatusCode)}
}
