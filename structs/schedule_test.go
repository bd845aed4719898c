package structs

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func schedule(t testing.TB, zone string, crons ...string) *Schedule {
	t.Helper()
	s, err := (&PeriodicConfig{Specs: crons, TimeZone: &zone}).Schedule()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// launches lists what comes after one time, up to and with another.
func launches(s *Schedule, after, until time.Time) []string {
	var out []string
	for at := s.Next(after); !at.IsZero() && !at.After(until); at = s.Next(at) {
		out = append(out, at.UTC().Format("Jan 2 15:04"))
	}
	return out
}

func TestClocksThatAreChanged(t *testing.T) {
	// In Vienna 2:00 to 3:00 doesn't exist on March 29th and comes twice on
	// October 25th, at 0:00 and 1:00 UTC.
	spring := time.Date(2026, 3, 28, 22, 0, 0, 0, time.UTC)
	autumn := time.Date(2026, 10, 24, 22, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		zone, cron string
		from       time.Time
		want       []string
	}{
		"a time in the gap":         {"Europe/Vienna", "30 2 * * *", spring, []string{"Mar 29 01:00", "Mar 30 00:30"}},
		"several times in the gap":  {"Europe/Vienna", "*/20 2 * * *", spring, []string{"Mar 29 01:00", "Mar 30 00:00", "Mar 30 00:20", "Mar 30 00:40"}},
		"the end of the gap":        {"Europe/Vienna", "0 2,3 * * *", spring, []string{"Mar 29 01:00", "Mar 30 00:00", "Mar 30 01:00"}},
		"every hour over the gap":   {"Europe/Vienna", "30 * * * 0", spring.Add(2 * time.Hour), []string{"Mar 29 00:30", "Mar 29 01:30", "Mar 29 02:30"}},
		"a time that comes twice":   {"Europe/Vienna", "30 2 * * *", autumn, []string{"Oct 25 00:30", "Oct 26 01:30"}},
		"every hour, one twice":     {"Europe/Vienna", "30 * * * 0", autumn.Add(2 * time.Hour), []string{"Oct 25 00:30", "Oct 25 01:30", "Oct 25 02:30"}},
		"midnight that isn't there": {"America/Asuncion", "0 0 * * *", time.Date(2023, 9, 30, 12, 0, 0, 0, time.UTC), []string{"Oct 1 04:00", "Oct 2 03:00"}},
		"half an hour":              {"Australia/Lord_Howe", "15 2 * * *", time.Date(2026, 10, 3, 0, 0, 0, 0, time.UTC), []string{"Oct 3 15:30", "Oct 4 15:15"}},
		"a day that isn't there":    {"Pacific/Apia", "0 9 * * *", time.Date(2011, 12, 29, 12, 0, 0, 0, time.UTC), []string{"Dec 29 19:00", "Dec 30 10:00", "Dec 30 19:00"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := launches(schedule(t, c.zone, c.cron), c.from, c.from.Add(48*time.Hour))
			if n := min(len(got), len(c.want)); !slices.Equal(got[:n], c.want[:n]) || n < len(c.want) {
				t.Errorf("launched at %v, want %v", got, c.want)
			}
		})
	}
}

// field is one field of a cron expression, as a test reads it.
type field map[int]bool

func (f field) has(n int) bool { return f == nil || f[n] }

type plainCron struct {
	text           string
	minute, hour   field
	weekday, month field
}

// wanted is what must be launched in a time span, found minute by minute by
// looking at what the zone's clock shows.
func wanted(c plainCron, zone *time.Location, from, until time.Time) []time.Time {
	const minute = time.Minute
	fits := func(wall time.Time) bool {
		return c.minute.has(wall.Minute()) && c.hour.has(wall.Hour()) && c.weekday.has(int(wall.Weekday())) && c.month.has(int(wall.Month()))
	}
	clock := func(t time.Time) time.Time {
		_, offset := t.In(zone).Zone()
		return t.UTC().Add(time.Duration(offset) * time.Second)
	}
	var out []time.Time
	shown := clock(from) // the latest that the clock has shown
	for t := from.Add(minute); !t.After(until); t = t.Add(minute) {
		wall := clock(t)
		launch := fits(wall)
		if c.hour != nil {
			launch = false
			for w := shown.Add(minute); !w.After(wall); w = w.Add(minute) {
				launch = launch || fits(w)
			}
		}
		if launch {
			out = append(out, t)
		}
		if wall.After(shown) {
			shown = wall
		}
	}
	return out
}

func plainCrons() []plainCron {
	return []plainCron{
		{text: "30 2 * * *", minute: field{30: true}, hour: field{2: true}},
		{text: "0 0 * * *", minute: field{0: true}, hour: field{0: true}},
		{text: "*/15 * * * *", minute: field{0: true, 15: true, 30: true, 45: true}},
		{text: "5,10,50 1-3 * 3,10,11 0", minute: field{5: true, 10: true, 50: true}, hour: field{1: true, 2: true, 3: true}, weekday: field{0: true}, month: field{3: true, 10: true, 11: true}},
		{text: "59 23 * * 6", minute: field{59: true}, hour: field{23: true}, weekday: field{6: true}},
	}
}

// Each zone there is, around each change of its clocks in some years: what is
// launched is what a clock on the wall would have launched, each once.
func TestLaunchesInEveryZone(t *testing.T) {
	names, err := os.ReadFile("testdata/zones.txt")
	if err != nil {
		t.Fatal(err)
	}
	changes := 0
	for name := range strings.FieldsSeq(string(names)) {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC).In(zone)
		for at.Year() < 2028 {
			_, end := at.ZoneBounds()
			if end.IsZero() {
				break
			}
			at = end
			changes++
			from, until := end.Add(-25*time.Hour).Truncate(time.Minute), end.Add(25*time.Hour)
			for _, c := range plainCrons() {
				s := schedule(t, name, c.text)
				var got []time.Time
				for l := s.Next(from); !l.IsZero() && !l.After(until); l = s.Next(l) {
					got = append(got, l)
				}
				if want := wanted(c, zone, from, until); !slices.EqualFunc(got, want, time.Time.Equal) {
					t.Fatalf("%q in %s around %s: launched at %v, want %v", c.text, name, end.UTC(), got, want)
				}
			}
		}
	}
	if changes < 800 {
		t.Errorf("only %d changes of clocks were looked at", changes)
	}
}

// Wherever one begins to look, the launches are the same.
func TestLaunchesDoNotDependOnWhereOneLooksFrom(t *testing.T) {
	names, err := os.ReadFile("testdata/zones.txt")
	if err != nil {
		t.Fatal(err)
	}
	zones := strings.Fields(string(names))
	rapid.Check(t, func(rt *rapid.T) {
		pick := func(what string, of ...string) string { return rapid.SampledFrom(of).Draw(rt, what) }
		text := strings.Join([]string{
			pick("second", "0", "0", "30", "*/20"), pick("minute", "0", "30", "*/10", "1-3", "59"), pick("hour", "*", "2", "0", "*/5", "22-23"),
			pick("day", "*", "*", "1", "29", "L", "15W"), pick("month", "*", "*", "3", "10,11"), pick("weekday", "*", "*", "0", "1-5", "5L"), "*",
		}, " ")
		s := schedule(t, rapid.SampledFrom(zones).Draw(rt, "zone"), text)
		from := time.Unix(rapid.Int64Range(1_600_000_000, 1_900_000_000).Draw(rt, "from"), rapid.Int64Range(0, 999_999_999).Draw(rt, "nanos"))
		var all []time.Time
		for at := s.Next(from); len(all) < 50; at = s.Next(at) {
			if last := append(all, from)[max(0, len(all)-1)]; !at.After(last) {
				rt.Fatalf("%q: after %s comes %s", text, last, at)
			}
			all = append(all, at)
		}
		n := rapid.IntRange(0, len(all)-1).Draw(rt, "n")
		if got := s.Next(all[n].Add(-time.Nanosecond)); !got.Equal(all[n]) {
			rt.Errorf("%q: just before %s the next is %s", text, all[n], got)
		}
		until := all[n].Add(time.Duration(rapid.Int64Range(0, 1e9).Draw(rt, "more")))
		want := all[n]
		for _, at := range all[n:] {
			if !at.After(until) {
				want = at
			}
		}
		if got := s.Latest(from, until); !got.Equal(want) {
			rt.Errorf("%q: the latest from %s until %s is %s, want %s", text, from, until, got, want)
		}
		if got := s.Count(from, all[n], 1000); got != n {
			rt.Errorf("%q: %d launches from %s to before %s, want %d", text, got, from, all[n], n)
		}
		if got := s.Count(from, all[n], 3); got != min(n, 3) {
			rt.Errorf("%q: counted %d launches up to 3 of %d", text, got, n)
		}
	})
}

func TestNoLaunch(t *testing.T) {
	s := schedule(t, "Europe/Vienna", "0 0 1 1 * 2020")
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if at := s.Next(now); !at.IsZero() {
		t.Errorf("the next launch is at %s", at)
	}
	if at := s.Latest(now, now.AddDate(3, 0, 0)); !at.IsZero() {
		t.Errorf("the latest launch is at %s", at)
	}
	if at := s.Latest(now, now.Add(-time.Hour)); !at.IsZero() {
		t.Errorf("the latest launch is at %s", at)
	}
}

// Whatever is submitted as a schedule is read or refused, in a moment.
func FuzzSchedule(f *testing.F) {
	for _, text := range []string{"@daily", "0 0 30 2 *", "* * * * * * *", "5-3 * * * *", "0 0 * 10-3 *", "0 0 31W 2 *", "0 0 * * 5-1", "1 2 3 4 5 6 7 8", ",", "0 0 29 2 1#5 2099"} {
		f.Add(text, "Europe/Vienna")
	}
	f.Fuzz(func(t *testing.T, text, zone string) {
		if len(text) > 200 {
			return
		}
		p := &PeriodicConfig{Specs: []string{text}, TimeZone: &zone}
		p.canonicalize()
		p.validate(newFaults())
		p.warn(newFaults())
		at := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
		for range 5 {
			next := p.Next(at)
			if !next.IsZero() && !next.After(at) {
				t.Fatalf("%q in %q: after %s comes %s", text, zone, at, next)
			}
			at = next
		}
	})
}
