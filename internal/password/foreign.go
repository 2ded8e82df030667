package password

import (
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // PBKDF2-HMAC-SHA1 in imported hashes; not broken there, and replaced at the next sign-in
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	stdhash "hash"
	"math/bits"
	"strings"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"
)

// Ceilings on the cost of verifying one imported hash: a few seconds of a core, 1 GiB.
const (
	maxBcryptCost   = 16
	bcryptBytes     = 72 // bcrypt ignores further bytes
	maxScryptMemory = 1 << 30
	maxScryptWork   = 1 << 24 // N·r·p
	maxScryptP      = 64
	maxIterations   = 10_000_000
)

// bcryptHash is $2a$, $2b$ or $2y$ with cost, salt and tag in 60 characters.
type bcryptHash string

func (bcryptHash) format() string { return "bcrypt" }

// matches compares the first 72 bytes as bcrypt does, and then refuses a longer password, at the same cost.
func (h bcryptHash) matches(password []byte) bool {
	err := bcrypt.CompareHashAndPassword([]byte(h), password[:min(len(password), bcryptBytes)])
	return err == nil && len(password) <= bcryptBytes
}

// parseBcrypt parses a hash; rest is what follows its identifier: two digits of cost, then salt and tag.
func parseBcrypt(encoded, rest string) (hash, error) {
	cost, tail, found := strings.Cut(rest, "$")
	if !found || len(cost) != 2 || len(tail) != 53 {
		return nil, errMalformed
	}
	n, ok := parseNumber(strings.TrimPrefix(cost, "0"))
	if !ok || n < uint32(bcrypt.MinCost) || n > maxBcryptCost {
		return nil, errMalformed
	}
	for i := range len(tail) {
		if strings.IndexByte(bcryptAlphabet, tail[i]) < 0 {
			return nil, errMalformed
		}
	}
	return bcryptHash(encoded), nil
}

const bcryptAlphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// scryptHash is scrypt (RFC 7914) in PHC or Werkzeug form.
type scryptHash struct {
	n, r, p   int
	salt, tag []byte
}

func (scryptHash) format() string { return "scrypt" }

func (h scryptHash) matches(password []byte) bool {
	tag, err := scrypt.Key(password, h.salt, h.n, h.r, h.p, len(h.tag))
	return err == nil && subtle.ConstantTimeCompare(tag, h.tag) == 1
}

// withinCeilings reports whether N is a power of two above one (RFC 7914 section 2), and memory and work are within
// their limits.
func (h scryptHash) withinCeilings() bool {
	if h.n < 2 || h.r < 1 || h.p < 1 || bits.OnesCount(uint(h.n)) != 1 {
		return false
	}
	if h.n > maxScryptWork || h.r > maxScryptWork || h.p > maxScryptP {
		return false
	}
	block := int64(h.n) * int64(h.r)
	return block*128 <= maxScryptMemory && block*int64(h.p) <= maxScryptWork
}

// parseScrypt reads what follows $scrypt$ in PHC form; ln is the binary logarithm of N.
func parseScrypt(rest string) (hash, error) {
	params, rest, _ := strings.Cut(rest, "$")
	n, ok := parseParams(params, "ln", "r", "p")
	if !ok || n[0] < 1 || n[0] > 30 {
		return nil, errMalformed
	}
	h := scryptHash{n: 1 << n[0], r: int(n[1]), p: int(n[2])}
	h.salt, h.tag, ok = parseSaltAndTag(rest, decodePHC)
	if !ok || !h.withinCeilings() {
		return nil, errMalformed
	}
	return h, nil
}

// pbkdf2Hash is PBKDF2 (RFC 8018) in PHC, passlib or Werkzeug form.
type pbkdf2Hash struct {
	digest     string // "sha1", "sha256" or "sha512"
	iterations int
	salt, tag  []byte
}

func (h pbkdf2Hash) format() string { return "pbkdf2-" + h.digest }

func (h pbkdf2Hash) matches(password []byte) bool {
	newDigest := digests(h.digest)
	if newDigest == nil {
		return false
	}
	tag, err := pbkdf2.Key(newDigest, string(password), h.salt, h.iterations, len(h.tag))
	return err == nil && subtle.ConstantTimeCompare(tag, h.tag) == 1
}

// digests returns the hash function of that name, or nil.
func digests(name string) func() stdhash.Hash {
	switch name {
	case "sha1":
		return sha1.New
	case "sha256":
		return sha256.New
	case "sha512":
		return sha512.New
	}
	return nil
}

// parsePBKDF2 reads what follows $pbkdf2-<digest>$: "i=<n>" or "i=<n>,l=<length>" (PHC), or the bare number (passlib,
// where $pbkdf2$ means SHA-1).
func parsePBKDF2(id, rest string) (hash, error) {
	params, rest, _ := strings.Cut(rest, "$")
	var length uint32
	var iterations uint32
	n, ok := parseParams(params, "i")
	if !ok {
		n, ok = parseParams(params, "i", "l")
	}
	switch {
	case ok && len(n) == 2:
		iterations, length = n[0], n[1]
	case ok:
		iterations = n[0]
	default:
		iterations, ok = parseNumber(params)
	}
	if !ok {
		return nil, errMalformed
	}
	digest := strings.TrimPrefix(strings.TrimPrefix(id, "pbkdf2"), "-")
	if digest == "" {
		digest = "sha1"
	}
	salt, tag, ok := parseSaltAndTag(rest, decodeAB64)
	if !ok || iterations < 1 || iterations > maxIterations || (length != 0 && int(length) != len(tag)) {
		return nil, errMalformed
	}
	return pbkdf2Hash{digest: digest, iterations: int(iterations), salt: salt, tag: tag}, nil
}

// parseWerkzeug reads method$salt$hex. The salt is used as the bytes of its text, not decoded; everything after the
// second '$' belongs to the tag.
func parseWerkzeug(encoded string) (hash, error) {
	parts := strings.SplitN(encoded, "$", 3)
	if len(parts) != 3 || parts[1] == "" || len(parts[1]) > maxSalt {
		return nil, errMalformed
	}
	tag, err := hex.DecodeString(parts[2])
	if err != nil || hex.EncodeToString(tag) != parts[2] {
		return nil, errMalformed
	}
	method, args, _ := strings.Cut(parts[0], ":")
	switch method {
	case "scrypt":
		return werkzeugScrypt(args, []byte(parts[1]), tag)
	case "pbkdf2":
		return werkzeugPBKDF2(args, []byte(parts[1]), tag)
	}
	return nil, errMalformed
}

// werkzeugScrypt reads "N:r:p"; without it Werkzeug means 32768:8:1. The tag has 64 bytes.
func werkzeugScrypt(args string, salt, tag []byte) (hash, error) {
	if args == "" {
		args = "32768:8:1"
	}
	numbers := strings.Split(args, ":")
	if len(numbers) != 3 || len(tag) != 64 {
		return nil, errMalformed
	}
	var n [3]int
	for i, text := range numbers {
		v, ok := parseNumber(text)
		if !ok || v > maxScryptWork {
			return nil, errMalformed
		}
		n[i] = int(v)
	}
	h := scryptHash{n: n[0], r: n[1], p: n[2], salt: salt, tag: tag}
	if !h.withinCeilings() {
		return nil, errMalformed
	}
	return h, nil
}

// werkzeugPBKDF2 reads "digest:iterations". The count is required: its default changed from version to version.
func werkzeugPBKDF2(args string, salt, tag []byte) (hash, error) {
	digest, count, _ := strings.Cut(args, ":")
	newDigest := digests(digest)
	iterations, ok := parseNumber(count)
	if newDigest == nil || !ok || iterations < 1 || iterations > maxIterations || len(tag) != newDigest().Size() {
		return nil, errMalformed
	}
	return pbkdf2Hash{digest: digest, iterations: int(iterations), salt: salt, tag: tag}, nil
}
