package capacity

import "github.com/steppe-run/steppe/structs"

// maxExpressions bounds the remembered expressions; when there are more, all
// are forgotten and those in use come back at once.
const maxExpressions = 8192

// NoValue is the value number of a node that has no value in a column.
const NoValue = -1

// changes is the log of node numbers whose node changed. Those who remember
// something about nodes catch up from where they have read to.
type changes struct {
	base  int // sequence number of list[0]
	list  []int32
	nodes int // numbers ever seen, an upper bound of what a rebuild costs
}

func (c *changes) add(i int32) {
	c.nodes = max(c.nodes, int(i)+1)
	if len(c.list) > 4*c.nodes+64 { // reading on costs more than starting anew
		c.base += len(c.list)
		c.list = c.list[:0]
	}
	c.list = append(c.list, i)
}

func (c *changes) end() int { return c.base + len(c.list) }

// since returns the changes after seen; ok is false if they are gone.
func (c *changes) since(seen int) (list []int32, ok bool) {
	if seen < c.base {
		return nil, false
	}
	return c.list[seen-c.base:], true
}

// catchUp calls one for each node number that changed since seen, for all of
// them if that isn't known any more, and returns the new position.
func (x *Index) catchUp(seen int, one func(i int32)) int {
	list, ok := x.log.since(seen)
	if !ok {
		for i := range x.nodes {
			one(int32(i))
		}
		return x.log.end()
	}
	for _, i := range list {
		one(i)
	}
	return x.log.end()
}

// verdict is the set of nodes that satisfy one expression.
type verdict struct {
	check func(*structs.Node) bool
	bits  Bits
	seen  int
	// While all nodes are judged anew: the next one, and up to where the changes
	// are known that came before the first.
	all  bool
	next int
	from int
}

// Verdict returns the nodes that satisfy an expression; name identifies it.
// make is called when the expression is not remembered, and returns the check.
// The caller must not change the set.
func (x *Index) Verdict(name string, make func() func(*structs.Node) bool) Bits {
	v := x.verdict(name, make)
	x.judge(v, nil, nil)
	return v.bits
}

// Prepare does a part of the work of Verdict: as long as there are steps left,
// of which cost says how many a node takes. done is false if it is to be called
// again.
func (x *Index) Prepare(name string, make func() func(*structs.Node) bool, cost func(*structs.Node) int, steps *int) (done bool) {
	return x.judge(x.verdict(name, make), cost, steps)
}

// Judged reports whether a verdict is known and up to date.
func (x *Index) Judged(name string) bool {
	v, ok := x.verdicts[name]
	if !ok {
		return false
	}
	list, known := x.log.since(v.seen)
	return known && len(list) == 0
}

// Forgotten counts how often everything that was remembered was forgotten.
func (x *Index) Forgotten() int { return x.forgotten }

func (x *Index) verdict(name string, make func() func(*structs.Node) bool) *verdict {
	v, ok := x.verdicts[name]
	if !ok {
		x.bound()
		v = &verdict{check: make(), bits: NewBits(len(x.nodes)), seen: -1}
		x.verdicts[name] = v
	}
	return v
}

// judge brings a verdict up to date, as far as there are steps left; without
// steps, all the way.
func (x *Index) judge(v *verdict, cost func(*structs.Node) int, steps *int) (done bool) {
	list, known := x.log.since(v.seen)
	for !known {
		if !x.judgeAll(v, cost, steps) {
			return false
		}
		list, known = x.log.since(v.seen)
	}
	for _, i := range list {
		if !x.judgeOne(v, i, cost, steps) {
			return false
		}
		v.seen++
	}
	return true
}

// judgeAll goes through all nodes, from where it has come to.
func (x *Index) judgeAll(v *verdict, cost func(*structs.Node) int, steps *int) (done bool) {
	if !v.all {
		v.all, v.next, v.from = true, 0, x.log.end()
	}
	for ; v.next < len(x.nodes); v.next++ {
		if !x.judgeOne(v, int32(v.next), cost, steps) {
			return false
		}
	}
	v.all, v.seen = false, v.from
	return true
}

// judgeOne judges a node, unless there are no steps left.
func (x *Index) judgeOne(v *verdict, i int32, cost func(*structs.Node) int, steps *int) (done bool) {
	n := x.nodes[i]
	if n == nil {
		v.bits.Set(i, false)
		return true
	}
	if steps != nil {
		if *steps <= 0 {
			return false
		}
		*steps -= cost(n)
	}
	v.bits.Set(i, v.check(n))
	return true
}

// Column holds the value that an attribute has on each node, numbered.
type Column struct {
	// Values are the distinct values; a number is an index into them.
	Values  []string
	numbers map[string]int32
	of      []int32
	value   func(*structs.Node) (string, bool)
	seen    int
}

// Of returns the number of a node's value, or NoValue.
func (c *Column) Of(i int32) int32 { return c.of[i] }

// Column returns the values of an attribute; name identifies it. The caller
// must not change it.
func (x *Index) Column(name string, value func(*structs.Node) (string, bool)) *Column {
	c, ok := x.columns[name]
	if !ok {
		x.bound()
		c = &Column{numbers: map[string]int32{}, value: value, seen: -1}
		x.columns[name] = c
	}
	c.seen = x.catchUp(c.seen, func(i int32) { c.set(i, x.nodes[i]) })
	for len(c.of) < len(x.nodes) {
		c.of = append(c.of, NoValue)
	}
	return c
}

func (c *Column) set(i int32, n *structs.Node) {
	for int(i) >= len(c.of) {
		c.of = append(c.of, NoValue)
	}
	c.of[i] = NoValue
	if n == nil {
		return
	}
	text, ok := c.value(n)
	if !ok {
		return
	}
	number, known := c.numbers[text]
	if !known {
		number = int32(len(c.Values))
		c.Values = append(c.Values, text)
		c.numbers[text] = number
	}
	c.of[i] = number
}

// bound forgets everything when too much is remembered.
func (x *Index) bound() {
	if len(x.verdicts)+len(x.columns) >= x.exprLimit {
		clear(x.verdicts)
		clear(x.columns)
		x.forgotten++
	}
}
