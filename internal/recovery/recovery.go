// Package recovery makes and reads recovery codes: the second step of a sign-in when the other factors are lost.
//
// A code has 120 random bits, so that its SHA-256 is enough to keep (OWASP ASVS 5.0, 6.5.2): nobody can try them all.
package recovery

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/gatehouse-auth/gatehouse/store"
)

const (
	// Count is the number of codes that are made together.
	Count = 10

	size     = 15 // bytes of a code
	length   = 24 // characters of a code
	group    = 4  // characters between two dashes
	maxInput = 200
	// alphabet is that of Crockford's base32: without the letters I, L, O and U.
	alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
)

var encoding = base32.NewEncoding(alphabet).WithPadding(base32.NoPadding)

// New returns new codes, in groups of four characters, and the hashes to keep.
func New() (codes []string, hashes []store.TokenHash) {
	for range Count {
		b := make([]byte, size)
		_, _ = rand.Read(b) // never fails (crypto/rand, Go 1.24)
		text := encoding.EncodeToString(b)
		hashes = append(hashes, store.HashToken(text))
		var groups []string
		for i := 0; i < length; i += group {
			groups = append(groups, text[i:i+group])
		}
		codes = append(codes, strings.Join(groups, "-"))
	}
	return codes, hashes
}

// Parse returns the hash of a code as somebody typed it: lower case, with blanks or dashes anywhere, and with o, i and
// l for the digits that look like them. ok is false for what cannot be a code.
func Parse(input string) (hash store.TokenHash, ok bool) {
	if len(input) > maxInput {
		return store.TokenHash{}, false
	}
	text := strings.Map(func(r rune) rune {
		r = unicode.ToUpper(r)
		switch {
		case unicode.IsSpace(r), unicode.Is(unicode.Pd, r):
			return -1
		case r == 'O':
			return '0'
		case r == 'I', r == 'L':
			return '1'
		}
		return r
	}, norm.NFKC.String(input))
	if len(text) != length || strings.Trim(text, alphabet) != "" {
		return store.TokenHash{}, false
	}
	return store.HashToken(text), true
}
