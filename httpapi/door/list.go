package door

import (
	"cmp"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/steppe-run/steppe/httpapi/backend"
)

// Key is an item's place in a list. Lists are ordered by the parts in turn.
type Key struct {
	First  string
	Number uint64
	Last   string
}

func (k Key) compare(o Key) int {
	return cmp.Or(cmp.Compare(k.First, o.First), cmp.Compare(k.Number, o.Number), cmp.Compare(k.Last, o.Last))
}

// order is one way to sort a list and to name a place in it.
type order uint8

// The orders of lists.
const (
	ByID order = iota
	ByNamespace
	ByCreation
	ByModification
)

// token names a place to callers.
func (o order) token(k Key) string {
	switch o {
	case ByNamespace:
		return k.First + "." + k.Last
	case ByCreation:
		return strconv.FormatUint(k.Number, 10) + "." + k.Last
	case ByModification:
		return strconv.FormatUint(k.Number, 10)
	}
	return k.Last
}

// parse reads a token back.
func (o order) parse(token string) (Key, error) {
	bad := Refuse(http.StatusBadRequest, "failed to create result paginator: next_token %q is not one that this list gave out", token)
	if o == ByID {
		return Key{Last: token}, nil
	}
	head, tail, cut := strings.Cut(token, ".")
	if o == ByNamespace {
		if !cut {
			return Key{}, bad
		}
		return Key{First: head, Last: tail}, nil
	}
	n, err := strconv.ParseUint(head, 10, 64)
	if err != nil || cut != (o == ByCreation) {
		return Key{}, bad
	}
	return Key{Number: n, Last: tail}, nil
}

// Listing says how a noun is listed: its order, and what callers see of it.
type Listing[S, T any] struct {
	Order order
	Key   func(S) Key
	Show  func(S) T
}

// List answers with the items of a sequence that match the caller's filter,
// in order, a page at a time if asked.
func List[S, T any](c *Call, v backend.View, items iter.Seq[S], how Listing[S, T]) (Reply, error) {
	match, err := Matcher(c.Filter)
	if err != nil {
		return Reply{}, err
	}
	type place struct {
		key  Key
		item S
	}
	var places []place
	for item := range items {
		places = append(places, place{how.Key(item), item})
	}
	direction := 1
	if c.Reverse {
		direction = -1
	}
	slices.SortStableFunc(places, func(a, b place) int { return direction * a.key.compare(b.key) })
	if c.nextToken != "" {
		from, err := how.Order.parse(c.nextToken)
		if err != nil {
			return Reply{}, err
		}
		if how.Order == ByModification && c.Reverse {
			from.Last = "\U0010FFFF" // this token names no item, only where equal ones begin
		}
		at, _ := slices.BinarySearchFunc(places, from, func(p place, k Key) int { return direction * p.key.compare(k) })
		places = places[at:]
	}
	rep := Reply{Index: c.IndexOf(v)}
	shown := make([]T, 0, min(len(places), max(c.perPage, 64)))
	for _, p := range places {
		seen := how.Show(p.item)
		if ok, err := match(seen); err != nil {
			return Reply{}, err
		} else if !ok {
			continue
		}
		if c.perPage > 0 && len(shown) == c.perPage {
			rep.next = how.Order.token(p.key)
			break
		}
		shown = append(shown, seen)
	}
	rep.Value = shown
	return rep, nil
}

// IndexOf is the index of everything that the route watches.
func (c *Call) IndexOf(v backend.View) uint64 {
	return max(1, v.TableIndex(c.route.Watch...))
}

// Same shows an item as it is.
func Same[T any](item T) T { return item }

// Where leaves out what doesn't match.
func Where[T any](items iter.Seq[T], keep func(T) bool) iter.Seq[T] {
	return func(yield func(T) bool) {
		for item := range items {
			if keep(item) && !yield(item) {
				return
			}
		}
	}
}

// All shows each item of a sequence; the result is never null.
func All[S, T any](items iter.Seq[S], show func(S) T) []T {
	out := []T{}
	for item := range items {
		out = append(out, show(item))
	}
	return out
}

// HexPrefix refuses prefixes of ids that no id can have.
func HexPrefix(noun, prefix string) error {
	for _, r := range prefix {
		if !strings.ContainsRune("0123456789abcdefABCDEF-", r) {
			return Refuse(http.StatusInternalServerError, "%s lookup failed: index error: Invalid UUID: %s", noun, fmt.Sprintf("%q is not a prefix of one", prefix))
		}
	}
	return nil
}

// Sorted returns a map's keys in order, never null.
func Sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
