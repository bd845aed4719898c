// Package ids makes the identifiers that objects carry for life: UUIDs, random
// or derived from a seed so that a batch needs to store only the seed.
//
// It must not know what the identifiers name. Begin reading at New and Derive.
package ids

import (
	"crypto/rand"
	"encoding/hex"
)

// Seed is the origin of a batch of derived identifiers.
type Seed [16]byte

// New returns a random version 4 UUID in its usual text form.
func New() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // crypto/rand.Read never returns an error since Go 1.24
	return Format(v4(b))
}

// NewSeed returns a random seed.
func NewSeed() Seed {
	var s Seed
	_, _ = rand.Read(s[:]) // see New
	return s
}

// Derive returns the n-th identifier of a seed. Two different n of one seed
// never give the same identifier.
func Derive(s Seed, n uint32) string { return Format(DeriveRaw(s, n)) }

// DeriveRaw returns the 16 bytes of Derive(s, n).
func DeriveRaw(s Seed, n uint32) [16]byte {
	b := [16]byte(s)
	// n goes into the last four bytes by exclusive or: it touches no reserved
	// bit, so distinct n stay distinct.
	b[12] ^= byte(n >> 24)
	b[13] ^= byte(n >> 16)
	b[14] ^= byte(n >> 8)
	b[15] ^= byte(n)
	// The first four bytes are what people read and type: spread n over them
	// by an odd multiplier, so that short forms of one batch differ as well.
	h := n * 0x9E3779B1
	b[0] ^= byte(h >> 24)
	b[1] ^= byte(h >> 16)
	b[2] ^= byte(h >> 8)
	b[3] ^= byte(h)
	return v4(b)
}

// Underived is the inverse of DeriveRaw: the n of which id was made, if id was
// made of s.
func Underived(s Seed, id [16]byte) (n uint32, ok bool) {
	for i, b := range s[12:] {
		n = n<<8 | uint32(b^id[12+i])
	}
	return n, DeriveRaw(s, n) == id
}

// Unchanged returns the bytes of a seed that all its identifiers have in
// common, as they appear in bytes 4 to 11 of each.
func Unchanged(s Seed) [8]byte {
	b := v4([16]byte(s))
	return [8]byte(b[4:12])
}

// Parse reads the text form of a UUID.
func Parse(s string) (id [16]byte, ok bool) {
	if !Valid(s) {
		return id, false
	}
	var digits [32]byte
	at := 0
	for i := range len(s) {
		if s[i] != '-' {
			digits[at] = s[i]
			at++
		}
	}
	_, err := hex.Decode(id[:], digits[:])
	return id, err == nil
}

// Valid reports whether s has the form of a UUID: 36 characters, lower or
// upper case hex in five groups.
func Valid(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
			continue
		}
		hexDigit := c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
		if !hexDigit {
			return false
		}
	}
	return true
}

func v4(b [16]byte) [16]byte {
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return b
}

// Format returns the text form of a UUID's bytes.
func Format(b [16]byte) string {
	var out [36]byte
	hex.Encode(out[0:8], b[0:4])
	hex.Encode(out[9:13], b[4:6])
	hex.Encode(out[14:18], b[6:8])
	hex.Encode(out[19:23], b[8:10])
	hex.Encode(out[24:36], b[10:16])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
	return string(out[:])
}
