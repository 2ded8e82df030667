package store

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
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
