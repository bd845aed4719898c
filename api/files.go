package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/steppe-run/steppe/structs"
)

// ListFiles lists a folder of an allocation.
func (c *Client) ListFiles(ctx context.Context, allocID, path string, q *Query) ([]*structs.AllocFileInfo, error) {
	out, _, err := list[*structs.AllocFileInfo](ctx, c, "/v1/client/fs/ls/"+segment(allocID), withPath(q, path))
	return out, err
}

// StatFile describes a file of an allocation.
func (c *Client) StatFile(ctx context.Context, allocID, path string, q *Query) (*structs.AllocFileInfo, error) {
	out, _, err := one[structs.AllocFileInfo](ctx, c, "/v1/client/fs/stat/"+segment(allocID), withPath(q, path))
	return out, err
}

// CatFile opens a file of an allocation; the caller closes it.
func (c *Client) CatFile(ctx context.Context, allocID, path string, q *Query) (io.ReadCloser, error) {
	resp, err := c.call(ctx, http.MethodGet, "/v1/client/fs/cat/"+segment(allocID), c.values(withPath(q, path)), nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// StreamOptions says which part of a file or log to stream.
type StreamOptions struct {
	// Follow goes on as the file grows.
	Follow bool
	// Origin is start or end; Offset counts bytes from there.
	Origin string
	Offset int64
}

// Logs streams a task's log; kind is stdout or stderr. each is called with
// every frame, one after the other, until the log ends, ctx ends or each
// fails.
func (c *Client) Logs(ctx context.Context, allocID, task, kind string, o StreamOptions, each func(*structs.StreamFrame) error) error {
	q := o.query(map[string]string{"task": task, "type": kind, "follow": fmt.Sprint(o.Follow)})
	return c.frames(ctx, "/v1/client/fs/logs/"+segment(allocID), q, each)
}

// StreamFile streams a file as it grows, see Logs.
func (c *Client) StreamFile(ctx context.Context, allocID, path string, o StreamOptions, each func(*structs.StreamFrame) error) error {
	q := o.query(map[string]string{"path": path, "follow": fmt.Sprint(o.Follow)})
	return c.frames(ctx, "/v1/client/fs/stream/"+segment(allocID), q, each)
}

func (o StreamOptions) query(params map[string]string) *Query {
	params["offset"] = fmt.Sprint(o.Offset)
	params["origin"] = "start"
	if o.Origin != "" {
		params["origin"] = o.Origin
	}
	return &Query{Params: params}
}

func (c *Client) frames(ctx context.Context, path string, q *Query, each func(*structs.StreamFrame) error) error {
	resp, err := c.call(ctx, http.MethodGet, path, c.values(q), nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // read only
	dec := json.NewDecoder(resp.Body)
	for {
		frame := &structs.StreamFrame{}
		err := dec.Decode(frame)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read stream: %w", err)
		}
		if len(frame.Data) == 0 && frame.FileEvent == "" {
			continue // a heartbeat
		}
		if err := each(frame); err != nil {
			return err
		}
	}
}

// Events streams what changes from index on. topics have the form Topic or
// Topic:Key; none means all.
func (c *Client) Events(ctx context.Context, index uint64, topics []string, each func(*structs.Events) error) error {
	v := c.values(&Query{Params: map[string]string{"index": fmt.Sprint(index)}})
	for _, t := range topics {
		v.Add("topic", t)
	}
	resp, err := c.call(ctx, http.MethodGet, "/v1/event/stream", v, nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // read only
	dec := json.NewDecoder(resp.Body)
	for {
		events := &structs.Events{}
		err := dec.Decode(events)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		if len(events.Events) == 0 {
			continue // a heartbeat
		}
		if err := each(events); err != nil {
			return err
		}
	}
}

func withPath(q *Query, path string) *Query {
	out := Query{}
	if q != nil {
		out = *q
	}
	out.Params = map[string]string{"path": path}
	return &out
}
