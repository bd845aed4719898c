package capacity

// maxSieves bounds the remembered sieves; when there are more, all are
// forgotten.
const maxSieves = 1024

// Sieve is what the conditions of a group leave of the nodes. It holds until a
// node changes; what runs on nodes doesn't matter. It must not be changed.
type Sieve struct {
	Asked    Bits     // ready nodes in the job's pool and datacenters
	Feasible Bits     // of those, the ones that satisfy all conditions
	Lost     []int    // how many each condition filtered
	Reasons  []string // what people read of each
	Unique   bool     // nodes of one computed class may be judged differently

	InPool, Evaluated int
	Available         map[string]int // asked nodes by datacenter

	seen int
}

// Sieve returns what is remembered under a name, nil if nothing is or if a node
// has changed since; name stands for all conditions.
func (x *Index) Sieve(name []byte) *Sieve {
	if s := x.sieves[string(name)]; s != nil && s.seen == x.log.end() {
		return s
	}
	return nil
}

// Remember keeps a sieve under a name.
func (x *Index) Remember(name []byte, s *Sieve) {
	if len(x.sieves) >= maxSieves {
		clear(x.sieves)
	}
	s.seen = x.log.end()
	x.sieves[string(name)] = s
}
