package store

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"sync/atomic"
	"time"
)

// idEncoding is Crockford's base32 in lower case: it sorts like its bytes and has no look-alike characters.
var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewID returns a time-ordered identifier for a row: 48 bits of milliseconds and 80 random bits, 26 characters. It is
// not a secret.
func NewID(now time.Time) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli())<<16)
	_, _ = rand.Read(b[6:]) // never fails (crypto/rand, Go 1.24)
	return idEncoding.EncodeToString(b[:])
}

// IDs generates identifiers that also stay in order within one millisecond: the time is followed by a 40-bit counter
// and 40 random bits. Create one with [NewIDs]; it is safe for concurrent use.
type IDs struct{ counter atomic.Uint64 }

// NewIDs starts its counter at a random value in the lower half, so that two processes rarely collide and the counter
// does not overflow.
func NewIDs() *IDs {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand, Go 1.24)
	g := &IDs{}
	g.counter.Store(binary.BigEndian.Uint64(b[:]) >> 25)
	return g
}

// Next returns an identifier that sorts after all earlier ones of the same or an earlier millisecond.
func (g *IDs) Next(at time.Time) string {
	var b [16]byte
	_, _ = rand.Read(b[11:]) // never fails (crypto/rand, Go 1.24)
	n := g.counter.Add(1)
	binary.BigEndian.PutUint64(b[:8], uint64(at.UnixMilli())<<16|n>>24&0xffff)
	b[8], b[9], b[10] = byte(n>>16), byte(n>>8), byte(n) //nolint:gosec // the lowest 24 bits
	return idEncoding.EncodeToString(b[:])
}

// ValidID reports whether s is an identifier in its canonical form. A URL with any other spelling is not found.
func ValidID(s string) bool {
	if len(s) != 26 {
		return false
	}
	b, err := idEncoding.DecodeString(s)
	return err == nil && idEncoding.EncodeToString(b) == s
}

// NewToken returns a secret: 256 random bits as 43 characters of base64url.
func NewToken() string {
	var b [32]byte
	_, _ = rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// ValidToken reports whether s has the form of a token returned by NewToken. It is checked before any lookup.
func ValidToken(s string) bool {
	if len(s) != 43 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
