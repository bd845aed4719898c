package capacity

// maxSieves bounds the remembered sieves; when there are more, all are
// forgotten.
const maxSieves = 1024

// Sieve is what the conditions of a group leave of the nodes. It holds until a
// node changes; what runs on nodes doesn't matter. It must not be changed.
type Sieve struct {
	Asked    Bits  // ready nodes in the job's pool and datacenters
	Feasible Bits  // of those, the ones that satisfy all conditions
	Lost     []int // how many each condition filtered

	InPool, Evaluated int
	Available         map[string]int // asked nodes by datacenter

	seen int
}

// Sieve returns what is remembered under a name; name stands for all
// conditions. make fills a new one.
func (x *Index) Sieve(name []byte, make func(*Sieve)) *Sieve {
	s := x.sieves[string(name)]
	if s == nil || s.seen != x.log.end() {
		if len(x.sieves) >= maxSieves {
			clear(x.sieves)
		}
		s = &Sieve{seen: x.log.end()}
		make(s)
		x.sieves[string(name)] = s
	}
	return s
}
