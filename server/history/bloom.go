package history

import (
	"hash/fnv"
	"strings"
)

// bloom answers whether a frame could hold a key. Its bits are on disk: never
// change how they are made.
type bloom []byte

const (
	bloomBits   = 12 // a key
	bloomProbes = 7
	// prefixKey is how much of an ID is a key: what people type.
	prefixKey = 8
)

func newBloom(keys []string) bloom {
	b := make(bloom, (len(keys)*bloomBits+7)/8+1)
	for _, k := range keys {
		for _, bit := range b.bits(k) {
			b[bit/8] |= 1 << (bit % 8)
		}
	}
	return b
}

func (b bloom) bits(key string) (out [bloomProbes]uint32) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key)) // a hash takes everything
	sum := h.Sum64()
	low, high := uint32(sum), uint32(sum>>32)|1
	size := uint32(len(b)) * 8
	for i := range out {
		out[i] = low % size
		low += high
	}
	return out
}

func (b bloom) may(key string) bool {
	if len(b) == 0 {
		return true
	}
	for _, bit := range b.bits(key) {
		if b[bit/8]&(1<<(bit%8)) == 0 {
			return false
		}
	}
	return true
}

func jobKey(namespace, job string) string { return "j" + namespace + "\x00" + job }
func anyJobKey(job string) string         { return "J" + job }

// idKey is the key of all IDs that begin alike.
func idKey(id string) string { return "i" + strings.ToLower(id[:min(len(id), prefixKey)]) }

func keysOf(h *recordHead) []string {
	return []string{jobKey(h.Namespace, h.JobID), anyJobKey(h.JobID), idKey(h.ID)}
}
