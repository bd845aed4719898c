package structs

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones are known wherever a server runs

	"github.com/hashicorp/cronexpr"
)

// Schedule says when a periodic job is launched. It is not for several
// goroutines at once.
//
// A cron expression names times as clocks on walls show them. Where the clocks
// of a zone are changed, some of those come twice and some never, so:
//   - an expression that names hours is launched once for each: at the first of
//     two, and at the end of the gap if the clocks pass over it;
//   - one of every hour goes by what the clock shows, so that its launches stay
//     as far apart as always: at both of two, and not within a gap.
type Schedule struct {
	zone  *time.Location
	crons []cron
}

// errNever is said of an expression that no day fits.
var errNever = errors.New("it never fires: no day fits it")

// Schedule reads when the job is launched. The error says what is wrong first;
// Validate says all.
func (p *PeriodicConfig) Schedule() (*Schedule, error) {
	zone, err := time.LoadLocation(Value(p.TimeZone))
	if err != nil {
		return nil, fmt.Errorf("time zone %q is not known: %w", Value(p.TimeZone), err)
	}
	s := &Schedule{zone: zone}
	for _, text := range p.Crons() {
		c, err := parseCron(text)
		if err != nil {
			return nil, fmt.Errorf("cron expression %q: %w", text, err)
		}
		s.crons = append(s.crons, c)
	}
	return s, nil
}

// Next returns the first launch after t, the zero time if there is none.
func (s *Schedule) Next(t time.Time) time.Time {
	var first time.Time
	for i := range s.crons {
		if next := s.crons[i].next(t, s.zone); !next.IsZero() && (first.IsZero() || next.Before(first)) {
			first = next
		}
	}
	return first
}

// Latest returns the last launch after one time and not after another, the zero
// time if there is none.
func (s *Schedule) Latest(after, until time.Time) time.Time {
	const widen = 16
	var last time.Time
	for window := time.Minute; ; window *= widen {
		from := until.Add(-window)
		all := !from.After(after)
		if all {
			from = after
		}
		for t := s.Next(from); !t.IsZero() && !t.After(until); t = s.Next(t) {
			last = t
		}
		if all || !last.IsZero() {
			return last
		}
	}
}

// Count returns how many launches lie after one time and before another, at
// most limit.
func (s *Schedule) Count(after, before time.Time, limit int) int {
	n := 0
	for t := s.Next(after); n < limit && !t.IsZero() && t.Before(before); t = s.Next(t) {
		n++
	}
	return n
}

// Next returns the first launch after t, the zero time if there is none.
func (p *PeriodicConfig) Next(t time.Time) time.Time {
	s, err := p.Schedule()
	if err != nil {
		return time.Time{}
	}
	return s.Next(t)
}

// Crons returns the cron expressions by which the job is launched.
func (p *PeriodicConfig) Crons() []string {
	if s := Value(p.Spec); s != "" {
		return []string{s}
	}
	return p.Specs
}

// periodicSpecType is the one kind of schedule that there is.
const periodicSpecType = "cron"

// cron is one expression. The library is asked about calendars without a zone
// only (UTC stands for none): what zones do is decided here.
type cron struct {
	expr  *cronexpr.Expression
	every bool // it fires in every hour of its days
}

// maxCronFields is how many fields an expression may have: seconds, minutes,
// hours, day, month, weekday, year.
const maxCronFields = 7

func parseCron(text string) (cron, error) {
	fields := strings.Fields(text)
	if len(fields) > maxCronFields {
		return cron{}, fmt.Errorf("it has more than %d fields", maxCronFields)
	}
	for _, f := range fields {
		if err := checkRanges(f); err != nil {
			return cron{}, err
		}
	}
	expr, err := cronexpr.Parse(text)
	if err != nil {
		return cron{}, err
	}
	first := expr.Next(time.Unix(-1, 0).UTC())
	if first.IsZero() {
		return cron{}, errNever
	}
	c := cron{expr: expr, every: true}
	day := first.Truncate(24 * time.Hour)
	for h := range 24 {
		begin := day.Add(time.Duration(h) * time.Hour)
		if at := c.shown(begin); at.IsZero() || at.Sub(begin) >= time.Hour {
			c.every = false
		}
	}
	return c, nil
}

// checkRanges refuses ranges that end before they begin: the library takes them
// for lists without a value, and looks for one for ever.
func checkRanges(field string) error {
	for entry := range strings.SplitSeq(field, ",") {
		span, _, _ := strings.Cut(entry, "/")
		from, to, isRange := strings.Cut(strings.ToLower(span), "-")
		if isRange && cronValue(to) < cronValue(from) && cronValue(to) != 0 {
			return fmt.Errorf("the range %s ends before it begins", span)
		}
	}
	return nil
}

// cronValue is the number that a word of an expression stands for; 0 if it isn't
// known, and for Sunday.
func cronValue(word string) int {
	if n, err := strconv.Atoi(word); err == nil {
		return n
	}
	const days, months = "   montuewedthufrisat", "   janfebmaraprmayjunjulaugsepoctnovdec"
	for _, names := range []string{days, months} {
		if at := strings.Index(names, word[:min(len(word), 3)]); at > 0 && len(word) >= 3 {
			return at / 3
		}
	}
	return 0
}

// shown returns the first time, at or after another, that fits the expression
// on a calendar without a zone.
func (c *cron) shown(from time.Time) time.Time { return c.expr.Next(from.Add(-time.Second)) }

// pace returns the shortest and the longest time between the launches of a good
// minute, beginning with the first of all: what seconds can tell.
func (c *cron) pace() (shortest, longest time.Duration) {
	const look = 90
	at := c.shown(time.Unix(0, 0).UTC())
	for n := range look {
		next := c.shown(at.Add(time.Second))
		if next.IsZero() {
			break
		}
		pause := next.Sub(at)
		if n == 0 {
			shortest, longest = pause, pause
		}
		shortest, longest, at = min(shortest, pause), max(longest, pause), next
	}
	return shortest, longest
}

// next returns the first launch after t. It walks through the times between
// changes of the zone's clocks, in each of which the clock runs evenly.
func (c *cron) next(t time.Time, zone *time.Location) time.Time {
	from := time.Unix(t.Unix()+1, 0).In(zone)
	for {
		begin, end := from.ZoneBounds()
		if !end.IsZero() && !end.After(from) {
			end = from.Add(time.Hour) // so it is on the last day of leap years far ahead
		}
		wall, passed := c.onwards(from, begin)
		if passed {
			return begin
		}
		at := c.shown(wall)
		if at.IsZero() {
			return time.Time{}
		}
		at = at.Add(-offsetOf(from)).In(zone)
		if end.IsZero() || at.Before(end) {
			return at
		}
		from = end
	}
}

// onwards returns what the clock shows at a time, in the stretch that began when
// clocks were changed last; if all launches of what it shows have been, what it
// shows when there may be more. passed tells that the change passed over a
// launch, which is due at that very time.
func (c *cron) onwards(from, begin time.Time) (wall time.Time, passed bool) {
	wall = wallClock(from, offsetOf(from))
	if begin.IsZero() || c.every {
		return wall, false
	}
	left, entered := wallClock(begin, offsetOf(begin.Add(-time.Second))), wallClock(begin, offsetOf(from))
	if from.Equal(begin) && entered.After(left) {
		at := c.shown(left)
		return wall, !at.IsZero() && at.Before(entered)
	}
	if wall.Before(left) {
		wall = left
	}
	return wall, false
}

func offsetOf(t time.Time) time.Duration {
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second
}

// wallClock is what a clock at an offset shows, as a time without a zone.
func wallClock(t time.Time, offset time.Duration) time.Time { return t.UTC().Add(offset) }
