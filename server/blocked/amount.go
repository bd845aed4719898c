package blocked

import (
	"math"

	"github.com/steppe-run/steppe/structs"
)

// never is later than every index.
const never = math.MaxUint64

// amount is how much of each resource that can be counted: CPU, memory, disk.
type amount [3]int64

func amountOf(c structs.Comparable) amount { return amount{c.CPU, c.MemoryMB, c.DiskMB} }

func (a amount) plus(b amount) amount {
	for i := range a {
		a[i] += b[i]
	}
	return a
}

func (a amount) minus(b amount) amount {
	for i := range a {
		a[i] -= b[i]
	}
	return a
}

// less is a minus b, nothing being the least.
func (a amount) less(b amount) amount {
	for i := range a {
		a[i] = max(0, a[i]-b[i])
	}
	return a
}

// fits reports whether a is within a limit. What isn't asked for always is.
func (a amount) fits(limit amount) bool {
	for i := range a {
		if a[i] > 0 && a[i] > limit[i] {
			return false
		}
	}
	return true
}

// times is how often a fits into a limit, at most n and at least once.
func (a amount) times(limit amount, n int) int {
	out := int64(n)
	for i := range a {
		if a[i] > 0 {
			out = min(out, limit[i]/a[i])
		}
	}
	return int(max(1, out))
}

func (a amount) scaled(n int) amount {
	for i := range a {
		a[i] *= int64(n)
	}
	return a
}
