package structs

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Unix(1_700_000_000, 0)

// chain fails an allocation again and again, each life of it after the
// given time, and returns the delays before the replacements. It stops when
// the policy allows no more.
func chain(p *ReschedulePolicy, lives ...time.Duration) []time.Duration {
	var delays []time.Duration
	var past []*RescheduleEvent
	started := noon
	for _, life := range lives {
		failed := started.Add(life)
		at, delay, ok := p.Next(past, failed)
		if !ok {
			return delays
		}
		delays = append(delays, delay)
		past = append(past, &RescheduleEvent{RescheduleTime: at.UnixNano(), Delay: delay})
		started = at
	}
	return delays
}

func TestRescheduleDelays(t *testing.T) {
	const s, m, h = time.Second, time.Minute, time.Hour
	with := func(function string, limit time.Duration) *ReschedulePolicy {
		return &ReschedulePolicy{
			Unlimited: new(true), Delay: new(5 * s), DelayFunction: new(function), MaxDelay: new(limit),
		}
	}
	limited := &ReschedulePolicy{
		Attempts: new(2), Interval: new(10 * m), Delay: new(5 * s), DelayFunction: new(DelayConstant), Unlimited: new(false),
	}
	many := &ReschedulePolicy{
		Attempts: new(7), Interval: new(24 * h), Delay: new(5 * s), DelayFunction: new(DelayConstant), Unlimited: new(false),
	}
	short := []time.Duration{s, s, s, s, s, s, s, s}
	cases := []struct {
		name   string
		policy *ReschedulePolicy
		lives  []time.Duration
		want   []time.Duration
	}{
		{"none", nil, short, nil},
		{"no attempts", &ReschedulePolicy{Attempts: new(0), Unlimited: new(false)}, short, nil},
		{"constant", with(DelayConstant, 0), short[:3], []time.Duration{5 * s, 5 * s, 5 * s}},
		{"exponential", with(DelayExponential, m), short[:6], []time.Duration{5 * s, 10 * s, 20 * s, 40 * s, m, m}},
		{"fibonacci", with(DelayFibonacci, m), short[:8], []time.Duration{5 * s, 5 * s, 10 * s, 15 * s, 25 * s, 40 * s, m, m}},
		{"outlived the cap", with(DelayExponential, m), []time.Duration{s, s, s, 2 * m, s, s}, []time.Duration{5 * s, 10 * s, 20 * s, 5 * s, 10 * s, 20 * s}},
		{"fibonacci outlived the cap", with(DelayFibonacci, m), []time.Duration{s, s, s, s, 2 * m, s, s}, []time.Duration{5 * s, 5 * s, 10 * s, 15 * s, 5 * s, 5 * s, 10 * s}},
		{"limited", limited, short, []time.Duration{5 * s, 5 * s}},
		{"limited, slowly", limited, []time.Duration{11 * m, 11 * m, 11 * m}, []time.Duration{5 * s, 5 * s, 5 * s}},
		{"more attempts than events kept", many, short, []time.Duration{5 * s, 5 * s, 5 * s, 5 * s, 5 * s, 5 * s, 5 * s}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, chain(c.policy, c.lives...)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestUncappedDelaysDoNotOverflow(t *testing.T) {
	p := &ReschedulePolicy{Unlimited: new(true), Delay: new(time.Hour), DelayFunction: new(DelayExponential)}
	past := []*RescheduleEvent{{Delay: 1 << 62}}
	if d := p.NextDelay(past, noon); d < 1<<62 {
		t.Errorf("delay after %s is %s", past[0].Delay, d)
	}
}

func TestRestarts(t *testing.T) {
	const s, m = time.Second, time.Minute
	policy := func(attempts int, mode string) *RestartPolicy {
		return &RestartPolicy{Attempts: &attempts, Interval: new(10 * m), Delay: new(15 * s), Mode: &mode}
	}
	cases := []struct {
		name   string
		policy *RestartPolicy
		random float64
		ends   []time.Duration // since noon
		want   []time.Duration // delays; -1 is no restart
	}{
		{"none allowed", policy(0, RestartModeFail), 0, []time.Duration{0}, []time.Duration{-1}},
		{"used up", policy(2, RestartModeFail), 0, []time.Duration{0, m, 2 * m}, []time.Duration{15 * s, 15 * s, -1}},
		{"slow failures go on", policy(1, RestartModeFail), 0, []time.Duration{0, 11 * m, 22 * m}, []time.Duration{15 * s, 15 * s, 15 * s}},
		{"wait for the rest", policy(1, RestartModeDelay), 0, []time.Duration{0, m, 11 * m}, []time.Duration{15 * s, 9 * m, 15 * s}},
		{"spread", policy(2, RestartModeFail), 0.5, []time.Duration{0}, []time.Duration{15*s + 15*s/8}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var w RestartWindow
			var got []time.Duration
			for _, end := range c.ends {
				d := c.policy.Decide(w, noon.Add(end), c.random)
				w = d.Window
				if !d.Restart {
					d.Delay = -1
				}
				if d.Reason == "" {
					t.Error("no reason given")
				}
				got = append(got, d.Delay)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}
