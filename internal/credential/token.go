// Package credential knows the credentials of programs: the text of a token, and where in a request one may be.
package credential

import (
	"crypto/rand"
	"hash/crc32"
	"math/big"
	"slices"
	"strings"
)

// A token is a prefix, 43 characters of base62 for 32 random bytes, and 6 characters of base62 for the CRC-32
// (ISO-HDLC) of all before. The prefix tells scanners of source code whose secret it is, and the checksum that it is
// one, without asking anybody.

// Prefixes of tokens.
const (
	PersonPrefix  = "gatehouse_pat_"
	ServicePrefix = "gatehouse_svc_"
)

// prefixes are those of all kinds.
var prefixes = [...]string{PersonPrefix, ServicePrefix}

const (
	secretLength   = 43 // 62^43 > 2^256
	checksumLength = 6  // 62^6 > 2^32
	hintLength     = 4

	// Length is the length of a token: all prefixes have one length.
	Length = len(PersonPrefix) + secretLength + checksumLength
)

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// New returns the text of a new token of 256 random bits: a person's, or a service account's.
func New(service bool) string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand, Go 1.24)
	prefix := PersonPrefix
	if service {
		prefix = ServicePrefix
	}
	text := prefix + base62(new(big.Int).SetBytes(b[:]))
	sum := checksum(text)
	return text + string(sum[:])
}

// Valid reports whether text has the form of a token and its checksum is right. Nothing else is looked up.
func Valid(text string) bool {
	if len(text) != Length || !hasPrefix(text) {
		return false
	}
	for i := len(PersonPrefix); i < Length; i++ {
		if strings.IndexByte(alphabet, text[i]) < 0 {
			return false
		}
	}
	rest := Length - checksumLength
	sum := checksum(text[:rest])
	return text[rest:] == string(sum[:])
}

// Hint returns the last characters of a token, by which its owner recognizes it.
func Hint(text string) string { return text[max(0, len(text)-hintLength):] }

// hasPrefix reports whether text begins like a token.
func hasPrefix(text string) bool {
	return slices.ContainsFunc(prefixes[:], func(p string) bool { return strings.HasPrefix(text, p) })
}

// holds reports whether there is a token, or what is left of one, anywhere in text.
func holds(text string) bool {
	return slices.ContainsFunc(prefixes[:], func(p string) bool { return strings.Contains(text, p) })
}

// checksum returns the checksum of a text. It is computed for each request that has a token, and allocates nothing.
func checksum(text string) (sum [checksumLength]byte) {
	crc := uint32(0xffffffff) // crc32.ChecksumIEEE of a string, without copying it
	for i := range len(text) {
		crc = crc32.IEEETable[crc&0xff^uint32(text[i])] ^ crc>>8
	}
	crc = ^crc
	for i := checksumLength - 1; i >= 0; i-- {
		sum[i] = alphabet[crc%uint32(len(alphabet))]
		crc /= uint32(len(alphabet))
	}
	return sum
}

// base62 returns n as a secret, most significant digit first.
func base62(n *big.Int) string {
	var text [secretLength]byte
	base, digit := big.NewInt(int64(len(alphabet))), new(big.Int)
	for i := secretLength - 1; i >= 0; i-- {
		n.DivMod(n, base, digit)
		text[i] = alphabet[digit.Int64()]
	}
	return string(text[:])
}
