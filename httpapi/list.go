package httpapi

import (
	"cmp"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/go-bexpr"
)

// maxFilterSteps bounds the work of parsing one filter: enough for a hundred
// comparisons, not for one that is made to be hard to read.
const maxFilterSteps = 1 << 16

// key is an item's place in a list. Lists are ordered by the parts in turn.
type key struct {
	first  string
	number uint64
	last   string
}

func (k key) compare(o key) int {
	return cmp.Or(cmp.Compare(k.first, o.first), cmp.Compare(k.number, o.number), cmp.Compare(k.last, o.last))
}

// order is one way to sort a list and to name a place in it.
type order uint8

const (
	byID order = iota
	byNamespace
	byCreation
	byModification
)

// token names a place to callers.
func (o order) token(k key) string {
	switch o {
	case byNamespace:
		return k.first + "." + k.last
	case byCreation:
		return strconv.FormatUint(k.number, 10) + "." + k.last
	case byModification:
		return strconv.FormatUint(k.number, 10)
	}
	return k.last
}

// parse reads a token back.
func (o order) parse(token string) (key, error) {
	bad := refuse(http.StatusBadRequest, "failed to create result paginator: next_token %q is not one that this list gave out", token)
	if o == byID {
		return key{last: token}, nil
	}
	head, tail, cut := strings.Cut(token, ".")
	if o == byNamespace {
		if !cut {
			return key{}, bad
		}
		return key{first: head, last: tail}, nil
	}
	n, err := strconv.ParseUint(head, 10, 64)
	if err != nil || cut != (o == byCreation) {
		return key{}, bad
	}
	return key{number: n, last: tail}, nil
}

// listing says how a noun is listed: its order, and what callers see of it.
type listing[S, T any] struct {
	order order
	key   func(S) key
	show  func(S) T
}

// list answers with the items of a sequence that match the caller's filter,
// in order, a page at a time if asked.
func list[S, T any](c *call, v View, items iter.Seq[S], how listing[S, T]) (reply, error) {
	match, err := matcher(c.filter)
	if err != nil {
		return reply{}, err
	}
	type place struct {
		key  key
		item S
	}
	var places []place
	for item := range items {
		places = append(places, place{how.key(item), item})
	}
	direction := 1
	if c.reverse {
		direction = -1
	}
	slices.SortStableFunc(places, func(a, b place) int { return direction * a.key.compare(b.key) })
	if c.nextToken != "" {
		from, err := how.order.parse(c.nextToken)
		if err != nil {
			return reply{}, err
		}
		if how.order == byModification && c.reverse {
			from.last = "\U0010FFFF" // this token names no item, only where equal ones begin
		}
		at, _ := slices.BinarySearchFunc(places, from, func(p place, k key) int { return direction * p.key.compare(k) })
		places = places[at:]
	}
	rep := reply{index: c.indexOf(v)}
	shown := make([]T, 0, min(len(places), max(c.perPage, 64)))
	for _, p := range places {
		seen := how.show(p.item)
		if ok, err := match(seen); err != nil {
			return reply{}, err
		} else if !ok {
			continue
		}
		if c.perPage > 0 && len(shown) == c.perPage {
			rep.next = how.order.token(p.key)
			break
		}
		shown = append(shown, seen)
	}
	rep.value = shown
	return rep, nil
}

// indexOf is the index of everything that the route watches.
func (c *call) indexOf(v View) uint64 {
	return max(1, v.TableIndex(c.route.watch...))
}

// matcher compiles a filter expression; an empty one matches everything.
func matcher(filter string) (func(any) (bool, error), error) {
	if strings.TrimSpace(filter) == "" {
		return func(any) (bool, error) { return true, nil }, nil
	}
	eval, err := bexpr.CreateEvaluator(filter, bexpr.WithMaxExpressions(maxFilterSteps))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "failed to create result paginator: failed to read filter expression: %v", err)
	}
	return func(item any) (bool, error) {
		ok, err := eval.Evaluate(item)
		if err != nil {
			return false, refuse(http.StatusBadRequest, "failed to read result page: filter %q: %v", filter, err)
		}
		return ok, nil
	}, nil
}

// same shows an item as it is.
func same[T any](item T) T { return item }

// where leaves out what doesn't match.
func where[T any](items iter.Seq[T], keep func(T) bool) iter.Seq[T] {
	return func(yield func(T) bool) {
		for item := range items {
			if keep(item) && !yield(item) {
				return
			}
		}
	}
}

// all shows each item of a sequence; the result is never null.
func all[S, T any](items iter.Seq[S], show func(S) T) []T {
	out := []T{}
	for item := range items {
		out = append(out, show(item))
	}
	return out
}

// hexPrefix refuses prefixes of ids that no id can have.
func hexPrefix(noun, prefix string) error {
	for _, r := range prefix {
		if !strings.ContainsRune("0123456789abcdefABCDEF-", r) {
			return refuse(http.StatusInternalServerError, "%s lookup failed: index error: Invalid UUID: %s", noun, fmt.Sprintf("%q is not a prefix of one", prefix))
		}
	}
	return nil
}
