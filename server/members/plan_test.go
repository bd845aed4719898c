package members

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// world reads "id@addr:status …".
func world(text string) []Member {
	var out []Member
	for _, word := range strings.Fields(text) {
		who, status, _ := strings.Cut(word, ":")
		id, addr, _ := strings.Cut(who, "@")
		out = append(out, Member{ID: id, RPCAddr: addr, Status: status})
	}
	return out
}

func votersOf(text string) []Voter {
	var out []Voter
	for _, word := range strings.Fields(text) {
		id, addr, _ := strings.Cut(word, "@")
		out = append(out, Voter{id, addr})
	}
	return out
}

func TestPlannedChanges(t *testing.T) {
	const three = "a@1 b@2 c@3"
	for _, c := range []struct{ name, voters, members, dead, want string }{
		{"nothing to do", three, "a@1:alive b@2:alive c@3:alive", "", ""},
		{"one joins", three, "a@1:alive b@2:alive c@3:alive d@4:alive", "", "+d"},
		{"one leaves", three, "a@1:alive b@2:alive c@3:left", "", "-c"},
		{"one is silent for a moment", three, "a@1:alive b@2:alive c@3:failed", "", ""},
		{"one is dead, nobody took its place", three, "a@1:alive b@2:alive c@3:failed", "c", ""},
		{"one is dead, another is here", three, "a@1:alive b@2:alive c@3:failed d@4:alive", "c", "+d"},
		{"one is dead and was replaced", three + " d@4", "a@1:alive b@2:alive c@3:failed d@4:alive", "c", "-c"},
		{"two are dead", three + " d@4", "a@1:alive b@2:alive c@3:failed d@4:failed", "c d", ""},
		{"nobody remembers the dead one", three + " d@4", "a@1:alive b@2:alive d@4:alive", "c", "-c"},
		{"an address changed", three, "a@1:alive b@2:alive c@9:alive", "", "+c"},
		{"a wiped server comes back", three, "a@1:alive b@2:alive c@3:failed x@3:alive", "", "-c +x"},
		{"this server itself is never removed", "a@1 b@2", "a@1:left b@2:alive", "a", ""},
	} {
		p := planner{voters: votersOf(c.voters), members: world(c.members), local: "a", expect: 3}
		p.dead = func(id string) bool { return slices.Contains(strings.Fields(c.dead), id) }
		var got []string
		for _, ch := range p.changes() {
			sign := "+"
			if ch.remove {
				sign = "-"
			}
			got = append(got, sign+ch.voter.ID)
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%s: want %q, got %q", c.name, c.want, text)
		}
	}
}

// Whatever is seen, the dead are buried only where those alive keep both the
// quorum and the size of the cluster.
func TestBurialsAreSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := planner{local: "v0", expect: rapid.IntRange(0, 5).Draw(t, "expect")}
		dead := map[string]bool{}
		for i := range rapid.IntRange(1, 7).Draw(t, "voters") {
			id := fmt.Sprintf("v%d", i)
			p.voters = append(p.voters, Voter{id, id})
			status := rapid.SampledFrom([]string{StatusAlive, StatusAlive, StatusFailed}).Draw(t, "status")
			if i == 0 {
				status = StatusAlive
			}
			p.members = append(p.members, Member{ID: id, RPCAddr: id, Status: status})
			dead[id] = status == StatusFailed && rapid.Bool().Draw(t, "dead")
		}
		p.dead = func(id string) bool { return dead[id] }
		changes := p.changes()
		if len(changes) == 0 {
			return
		}
		if len(changes) > 1 || !dead[changes[0].voter.ID] {
			t.Fatalf("changes: %v", changes)
		}
		alive := 0
		for _, v := range p.voters {
			if p.alive(v.ID) {
				alive++
			}
		}
		left := len(p.voters) - 1
		if alive <= left/2 || alive < p.expect {
			t.Fatalf("%d of %d are alive, %d expected: %v", alive, len(p.voters), p.expect, changes)
		}
	})
}

func TestFirstVoters(t *testing.T) {
	server := func(id string, expect int, state bool) Member {
		return Member{ID: id, RPCAddr: id, Region: "r", Status: StatusAlive, Expect: expect, HasState: state}
	}
	a, b, c := server("a", 3, false), server("b", 3, false), server("c", 3, false)
	gone := c
	gone.Status = StatusFailed
	far := c
	far.Region = "elsewhere"
	for _, x := range []struct {
		name   string
		list   []Member
		local  Member
		expect int
		voters int
	}{
		{"all are here", []Member{c, b, a}, a, 3, 3},
		{"another has the lowest id", []Member{a, b, c}, b, 3, 0},
		{"one is missing", []Member{a, b}, a, 3, 0},
		{"one is silent", []Member{a, b, gone}, a, 3, 0},
		{"one is of another region", []Member{a, b, far}, a, 3, 0},
		{"a cluster exists", []Member{a, b, server("d", 3, true)}, a, 3, 0},
		{"they disagree", []Member{a, b, server("d", 5, false)}, a, 3, 0},
		{"it only joins", []Member{a, b, c}, server("0", 0, false), 0, 0},
		{"one waits to be added", []Member{a, b, server("d", 0, false)}, a, 3, 0},
		{"alone", []Member{server("a", 1, false)}, server("a", 1, false), 1, 1},
	} {
		seen, _ := candidates(x.list, x.local, x.expect)
		for i := range x.list { // all see the same
			x.list[i].Sees = signature(seen)
		}
		voters, why := firstVoters(x.list, x.local, x.expect)
		if len(voters) != x.voters || (why == "") != (x.voters > 0) {
			t.Errorf("%s: %v, %q", x.name, voters, why)
		}
	}
}

// More servers start at once than are expected, and each sees another part of
// them: whatever they have told each other, no two make a cluster of servers
// that overlap.
func TestOnlyOneClusterIsMade(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const all = 6
		expect := rapid.IntRange(1, 4).Draw(t, "expect")
		views := make([][]Member, all)
		signs := make([]string, all)
		for i := range views {
			for j := range all {
				if i == j || rapid.IntRange(0, 3).Draw(t, "sees") > 0 {
					views[i] = append(views[i], Member{ID: fmt.Sprint(j), Name: fmt.Sprint("s", j), RPCAddr: fmt.Sprint("a", j), Status: StatusAlive, Expect: expect})
				}
			}
			seen, _ := candidates(views[i], Member{ID: fmt.Sprint(i)}, expect)
			signs[i] = signature(seen)
		}
		taken := map[string]int{}
		for i, view := range views {
			for k := range view {
				var who int
				if _, err := fmt.Sscan(view[k].ID, &who); err != nil {
					t.Fatal(err)
				}
				view[k].Sees = signs[who]
			}
			voters, _ := firstVoters(view, Member{ID: fmt.Sprint(i)}, expect)
			for _, v := range voters {
				if other, both := taken[v.ID]; both {
					t.Fatalf("servers %d and %d make a cluster with %s each", other, i, v.ID)
				}
				taken[v.ID] = i
			}
		}
	})
}
