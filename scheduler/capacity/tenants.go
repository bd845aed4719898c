package capacity

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/steppe-run/steppe/structs"
)

// AllocKey is an allocation's id, packed. Keys of UUIDs have their order.
type AllocKey = key

// KeyOf packs an allocation's id.
func KeyOf(id string) AllocKey { return keyOf(id) }

// Owner is whose an allocation is, as far as it matters to a job of higher
// priority that wants its room.
type Owner struct {
	Job      structs.NamespacedID
	Group    string
	Priority int
	// MaxParallel is how many of the group may move at a time, 0: any number.
	MaxParallel int
}

// Tenant is a committed allocation that is counted on a node.
type Tenant struct {
	Key           AllocKey
	Priority      int32
	owner, amount int32
}

func (t *Tenant) compare(o *Tenant) int {
	return cmp.Or(cmp.Compare(t.Priority, o.Priority), bytes.Compare(t.Key[:], o.Key[:]))
}

// tenancy remembers whose the allocations are. The lists by node are made when
// they are first asked for, and kept from then on: most clusters never ask.
type tenancy struct {
	owners  []Owner // by number; the first is nobody
	entries []int32 // of each owner
	spare   []int32 // numbers that no owner has
	byOwner map[Owner]int32

	job   *structs.Job // of the last that was numbered, with group and number
	group string
	last  int32

	listed bool
	on     []tenants // by node number
}

// tenants are those of one node, lowest priorities first.
type tenants struct {
	list   []Tenant
	crowds []Crowd // by priority; none: not counted yet
}

// Crowd is what the tenants of a node have in common up to a priority.
type Crowd struct {
	// N is how many there are, Lowest and Highest are their priorities.
	N, Lowest, Highest int32
	// Alike is set if all take the same and are of one owner.
	Alike bool
	// Sum is what they take together, Least and Most what each takes.
	Sum, Least, Most Amount
}

// Tenants returns the allocations that are committed on a node, the lowest
// priorities first, of one priority by key. The caller must not change the list.
func (x *Index) Tenants(i int32) []Tenant {
	if on := x.tenantsOn(i); on != nil {
		return on.list
	}
	return nil
}

func (x *Index) tenantsOn(i int32) *tenants {
	t := &x.tenancy
	if !t.listed {
		x.list()
	}
	if int(i) >= len(t.on) {
		return nil
	}
	return &t.on[i]
}

// Crowd returns what the tenants of a node have in common that have at most a
// priority; nil if there are none. It holds until the index changes.
func (x *Index) Crowd(i int32, priority int) *Crowd {
	on := x.tenantsOn(i)
	if on == nil || len(on.list) == 0 {
		return nil
	}
	if len(on.crowds) == 0 {
		on.count(x.amounts)
	}
	for c := len(on.crowds) - 1; c >= 0; c-- {
		if int(on.crowds[c].Highest) <= priority {
			return &on.crowds[c]
		}
	}
	return nil
}

func (t *tenants) count(amounts []Amount) {
	first := &t.list[0]
	a := amounts[first.amount]
	now := Crowd{Lowest: first.Priority, Highest: first.Priority, Alike: true, Least: a, Most: a}
	for i := range t.list {
		one := &t.list[i]
		if one.Priority != now.Highest {
			t.crowds = append(t.crowds, now)
			now.Highest = one.Priority
		}
		now.N++
		now.Alike = now.Alike && one.owner == first.owner && one.amount == first.amount
		a := &amounts[one.amount]
		now.Sum = now.Sum.Plus(*a)
		now.Least = Amount{min(now.Least.CPU, a.CPU), min(now.Least.Memory, a.Memory), min(now.Least.Disk, a.Disk)}
		now.Most = Amount{max(now.Most.CPU, a.CPU), max(now.Most.Memory, a.Memory), max(now.Most.Disk, a.Disk)}
	}
	t.crowds = append(t.crowds, now)
}

func (t *tenants) add(one Tenant) {
	at, _ := slices.BinarySearchFunc(t.list, one, func(a, b Tenant) int { return a.compare(&b) })
	t.list, t.crowds = slices.Insert(t.list, at, one), t.crowds[:0]
}

func (t *tenants) remove(one Tenant) {
	if at, ok := slices.BinarySearchFunc(t.list, one, func(a, b Tenant) int { return a.compare(&b) }); ok {
		t.list, t.crowds = slices.Delete(t.list, at, at+1), t.crowds[:0]
	}
}

// Owner returns whose a tenant is, and a number for it that holds until the
// index changes.
func (x *Index) Owner(t *Tenant) (*Owner, int32) { return &x.tenancy.owners[t.owner], t.owner }

// Owners is above all numbers of owners.
func (x *Index) Owners() int { return len(x.tenancy.owners) }

// TenantAmount returns what a tenant takes.
func (x *Index) TenantAmount(t *Tenant) *Amount { return &x.amounts[t.amount] }

// TenantPorts returns the host ports of a tenant.
func (x *Index) TenantPorts(t *Tenant) []Held { return x.held[t.Key] }

// TenantThings returns the cores and devices of a tenant.
func (x *Index) TenantThings(t *Tenant) *Things { return x.things.of[t.Key] }

// list makes the lists of all nodes.
func (x *Index) list() {
	t := &x.tenancy
	t.listed, t.on = true, make([]tenants, len(x.nodes))
	x.ledger.each(func(k key, e entry) {
		if e.owner > 0 {
			on := &t.on[e.node]
			on.list = append(on.list, t.tenant(k, e))
		}
	})
	for i := range t.on {
		slices.SortFunc(t.on[i].list, func(a, b Tenant) int { return a.compare(&b) })
	}
}

func (t *tenancy) tenant(k key, e entry) Tenant {
	return Tenant{Key: k, Priority: int32(t.owners[e.owner].Priority), owner: e.owner, amount: e.amount}
}

// number returns the number of an allocation's owner, 0 if it tells none. It is
// kept only while an entry is, see enter.
func (t *tenancy) number(a *structs.Allocation) int32 {
	switch {
	case a.Job == nil:
		return 0
	case a.Job == t.job && a.TaskGroup == t.group:
		return t.last
	}
	o := Owner{Job: structs.NamespacedID{Namespace: a.Namespace, ID: a.JobID}, Group: a.TaskGroup, Priority: a.Job.GetPriority()}
	if tg := a.Job.LookupTaskGroup(a.TaskGroup); tg != nil && tg.Migrate != nil {
		o.MaxParallel = structs.Value(tg.Migrate.MaxParallel)
	}
	n, known := t.byOwner[o]
	if !known {
		n = t.add(o)
	}
	t.job, t.group, t.last = a.Job, a.TaskGroup, n
	return n
}

func (t *tenancy) add(o Owner) int32 {
	if t.byOwner == nil {
		t.byOwner, t.owners, t.entries = map[Owner]int32{}, make([]Owner, 1), make([]int32, 1)
	}
	var n int32
	if last := len(t.spare) - 1; last >= 0 {
		n, t.spare = t.spare[last], t.spare[:last]
		t.owners[n] = o
	} else {
		n = int32(len(t.owners))
		t.owners, t.entries = append(t.owners, o), append(t.entries, 0)
	}
	t.byOwner[o] = n
	return n
}

// keep holds on to an owner's number while entries change.
func (t *tenancy) keep(owner, n int32) {
	if owner > 0 {
		t.entries[owner] += n
	}
}

// enter notes that an entry is counted.
func (t *tenancy) enter(k key, e entry) {
	if e.owner == 0 {
		return
	}
	t.entries[e.owner]++
	if !t.listed {
		return
	}
	for int(e.node) >= len(t.on) {
		t.on = append(t.on, tenants{})
	}
	t.on[e.node].add(t.tenant(k, e))
}

// leave notes that an entry counts no longer.
func (t *tenancy) leave(k key, e entry) {
	if e.owner == 0 {
		return
	}
	if t.listed {
		t.on[e.node].remove(t.tenant(k, e))
	}
	if t.entries[e.owner]--; t.entries[e.owner] > 0 {
		return
	}
	delete(t.byOwner, t.owners[e.owner])
	t.owners[e.owner] = Owner{}
	t.spare = append(t.spare, e.owner)
	if t.last == e.owner {
		t.job, t.last = nil, 0
	}
}
