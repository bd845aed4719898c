package capacity

import "encoding/binary"

// key is an allocation's id in 16 bytes.
type key [16]byte

// keyOf packs a UUID; other texts are hashed, so that any id works.
func keyOf(id string) key {
	var k key
	if len(id) == 36 && packUUID(&k, id) {
		return k
	}
	binary.BigEndian.PutUint64(k[:8], hash64(id))
	binary.BigEndian.PutUint64(k[8:], hash64(id+"\x00"))
	return k
}

func packUUID(k *key, id string) bool {
	n := 0
	for i := 0; i < len(id); i++ {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if id[i] != '-' {
				return false
			}
			continue
		}
		d, ok := hexDigit(id[i])
		if !ok {
			return false
		}
		if n%2 == 0 {
			k[n/2] = d << 4
		} else {
			k[n/2] |= d
		}
		n++
	}
	return true
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// hash64 is FNV-1a with a final mix, so that similar ids differ in all bits.
func hash64(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return Mix(h)
}

// Mix spreads a change of any bit over all bits (the finalizer of SplitMix64).
func Mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
