package store

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"sync/atomic"
	"time"
)

// idEncoding is Crockford's base32 in lower case: sorts as its bytes do, no look-alikes.
var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewID makes a time-ordered identifier for a row: 48 bits of milliseconds and 80 random bits, 26 characters.
// It is a name, not a secret.
func NewID(now time.Time) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli())<<16)
	_, _ = rand.Read(b[6:]) // never fails (crypto/rand, Go 1.24)
	return idEncoding.EncodeToString(b[:])
}

// IDs makes identifiers that also keep the order in which they were made within one millisecond: after the time come
// 40 bits that count, and 40 random ones. Make one with [NewIDs]; it is safe for concurrent use.
type IDs struct{ made atomic.Uint64 }

// NewIDs begins to count anywhere in the lower half, so that two processes hardly meet and the count does not run over.
func NewIDs() *IDs {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand, Go 1.24)
	g := &IDs{}
	g.made.Store(binary.BigEndian.Uint64(b[:]) >> 25)
	return g
}

// Next returns an identifier that sorts behind all that were made before with the same or an earlier millisecond.
func (g *IDs) Next(at time.Time) string {
	var b [16]byte
	_, _ = rand.Read(b[11:]) // never fails (crypto/rand, Go 1.24)
	n := g.made.Add(1)
	binary.BigEndian.PutUint64(b[:8], uint64(at.UnixMilli())<<16|n>>24&0xffff)
	b[8], b[9], b[10] = byte(n>>16), byte(n>>8), byte(n)
	return idEncoding.EncodeToString(b[:])
}

// ValidID reports whether s has the one canonical form of an identifier. Addresses that name a row any other way
// are not found.
func ValidID(s string) bool {
	if len(s) != 26 {
		return false
	}
	b, err := idEncoding.DecodeString(s)
	return err == nil && idEncoding.EncodeToString(b) == s
}

// NewToken makes a secret: 256 random bits as 43 characters of base64url.
func NewToken() string {
	var b [32]byte
	_, _ = rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// ValidToken reports whether s has the shape of a token made by NewToken. It is checked before any look-up.
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
