package work

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/httpapi/show"
	"github.com/steppe-run/steppe/server"
)

// HistoryRead answers from what was swept or purged, newest first.
func HistoryRead(c *door.Call) (door.Reply, error) {
	q := server.HistoryQuery{Namespace: c.Namespace, Kind: c.Query.Get("kind"), JobID: c.Query.Get("job"), Prefix: c.Prefix}
	if q.Kind != "" && !slices.Contains(server.HistoryKinds(), q.Kind) {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "kind %q is unknown: use %s", q.Kind, strings.Join(server.HistoryKinds(), ", "))
	}
	var err error
	if q.Objects, err = c.Flag("objects"); err != nil {
		return door.Reply{}, err
	}
	size, token := c.Page()
	q.Limit = size
	for _, p := range []struct {
		name, text string
		into       *server.HistoryPosition
	}{{"next_token", token, &q.Before}, {"after", c.Query.Get("after"), &q.After}} {
		if p.text == "" {
			continue
		}
		if *p.into, err = server.ParseHistoryPosition(p.text); err != nil {
			return door.Reply{}, door.Refuse(http.StatusBadRequest, "%s: %s", p.name, err.Error())
		}
	}
	for _, t := range []struct {
		name string
		into *time.Time
	}{{"since", &q.Since}, {"until", &q.Until}} {
		if *t.into, err = momentOf(c, t.name); err != nil {
			return door.Reply{}, err
		}
	}
	page, err := c.Server().History(c.Ctx(), q)
	if err != nil {
		return door.Reply{}, err
	}
	for _, e := range page.Entries {
		if e.Allocation != nil {
			e.Allocation = show.WholeAlloc(e.Allocation)
		}
	}
	return door.Reply{Value: page, Index: max(1, page.UpToIndex)}.Before(page.NextToken), nil
}

// momentOf reads a moment of the query: a time, a day, or how long ago.
func momentOf(c *door.Call, name string) (time.Time, error) {
	text := c.Query.Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	ago, err := time.ParseDuration(text)
	if err != nil || ago < 0 {
		return time.Time{}, door.Refuse(http.StatusBadRequest,
			"%s: %q is no moment: give a time (2026-01-31T08:00:00Z), a day (2026-01-31) or how long ago (36h)", name, text)
	}
	return c.Clock().Now().Add(-ago), nil
}
