package password

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Lengths of new hashes (RFC 9106 section 4).
const (
	saltBytes = 16
	tagBytes  = 32
)

// Limits on the parts of a stored hash. A short tag would match by chance.
const (
	maxEncoded = 1024
	minTag     = 16
	maxTag     = 128
	maxSalt    = 128
)

// errMalformed is the error for every malformed hash. It never includes the hash, which must not reach a log.
var errMalformed = errors.New("not a password hash in a known format")

// hash is a parsed stored hash within the ceilings.
type hash interface {
	// format returns the name of the format for people.
	format() string
	// matches compares in constant time. It takes as long as hashing does.
	matches(password []byte) bool
}

// KnownFormats lists for people which hashes can be verified.
const KnownFormats = "argon2id, bcrypt, scrypt or PBKDF2, in PHC form ($argon2id$…) or as Werkzeug writes it (scrypt:…)"

// Identify returns the format of a stored hash that [Hasher.Verify] supports, such as "argon2id" or "bcrypt". The error
// says which formats are known; it never repeats the value.
func Identify(encoded string) (format string, err error) {
	h, err := parse(encoded)
	if err != nil {
		return "", fmt.Errorf("%w: use %s, for example from \"caddy gatehouse hash-password\"", err, KnownFormats)
	}
	return h.format(), nil
}

// parse reads any known format.
func parse(encoded string) (hash, error) {
	if len(encoded) > maxEncoded {
		return nil, errMalformed
	}
	if !strings.HasPrefix(encoded, "$") {
		return parseWerkzeug(encoded)
	}
	id, rest, _ := strings.Cut(encoded[1:], "$")
	switch id {
	case "argon2id":
		return parseArgon2id(rest)
	case "2a", "2b", "2y":
		return parseBcrypt(encoded, rest)
	case "scrypt":
		return parseScrypt(rest)
	case "pbkdf2", "pbkdf2-sha1", "pbkdf2-sha256", "pbkdf2-sha512":
		return parsePBKDF2(id, rest)
	}
	return nil, errMalformed
}

// argon2idHash is $argon2id$v=19$m=…,t=…,p=…$salt$tag.
type argon2idHash struct {
	params Params
	salt   []byte
	tag    []byte
}

func (argon2idHash) format() string { return "argon2id" }

func (h argon2idHash) matches(password []byte) bool {
	tag := argon2id(password, h.salt, h.params, len(h.tag))
	return subtle.ConstantTimeCompare(tag, h.tag) == 1
}

// isCurrent reports whether a hash made now would have the same cost and lengths.
func (h argon2idHash) isCurrent(p Params) bool {
	return h.params == p && len(h.salt) == saltBytes && len(h.tag) == tagBytes
}

// String returns the PHC form.
func (h argon2idHash) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.params.MemoryKiB, h.params.Time,
		h.params.Threads, phcBase64.EncodeToString(h.salt), phcBase64.EncodeToString(h.tag))
}

func argon2id(password, salt []byte, p Params, length int) []byte {
	return argon2.IDKey(password, salt, p.Time, p.MemoryKiB, p.Threads, uint32(length)) //nolint:gosec // of a tag
}

// parseArgon2id reads what follows $argon2id$. Version 0x13 is required: hashes without v= are of version 0x10, which
// is computed differently.
func parseArgon2id(rest string) (hash, error) {
	version, rest, _ := strings.Cut(rest, "$")
	if version != "v="+strconv.Itoa(argon2.Version) {
		return nil, errMalformed
	}
	params, rest, _ := strings.Cut(rest, "$")
	n, ok := parseParams(params, "m", "t", "p")
	if !ok || n[2] > maxThreads {
		return nil, errMalformed
	}
	h := argon2idHash{params: Params{MemoryKiB: n[0], Time: n[1], Threads: uint8(n[2])}} //nolint:gosec // <= maxThreads
	if !h.params.withinCeilings() {
		return nil, errMalformed
	}
	h.salt, h.tag, ok = parseSaltAndTag(rest, decodePHC)
	if !ok || len(h.salt) < 8 {
		return nil, errMalformed
	}
	return h, nil
}

// parseParams reads "a=1,b=2" with exactly these names in this order.
func parseParams(s string, names ...string) ([]uint32, bool) {
	parts := strings.Split(s, ",")
	if len(parts) != len(names) {
		return nil, false
	}
	values := make([]uint32, len(names))
	for i, part := range parts {
		text, found := strings.CutPrefix(part, names[i]+"=") //nolint:gosec // as many names as parts
		n, ok := parseNumber(text)
		if !found || !ok {
			return nil, false
		}
		values[i] = n
	}
	return values, true
}

// parseNumber reads a decimal number in its canonical form: no sign, no leading zero.
func parseNumber(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || strconv.FormatUint(n, 10) != s {
		return 0, false
	}
	return uint32(n), true
}

// parseSaltAndTag reads "salt$tag" and checks their lengths.
func parseSaltAndTag(s string, decode func(string) ([]byte, bool)) (salt, tag []byte, ok bool) {
	saltText, tagText, found := strings.Cut(s, "$")
	salt, saltOK := decode(saltText)
	tag, tagOK := decode(tagText)
	ok = found && saltOK && tagOK &&
		len(salt) >= 1 && len(salt) <= maxSalt && len(tag) >= minTag && len(tag) <= maxTag
	return salt, tag, ok
}

var phcBase64 = base64.RawStdEncoding.Strict()

// decodePHC decodes canonical base64 without padding. The standard library's decoder skips line breaks, so the result
// is encoded again and compared.
func decodePHC(s string) ([]byte, bool) {
	b, err := phcBase64.DecodeString(s)
	return b, err == nil && phcBase64.EncodeToString(b) == s
}

// decodeAB64 decodes base64 as passlib writes it, with '.' for '+'; '+' is accepted as well.
func decodeAB64(s string) ([]byte, bool) { return decodePHC(strings.ReplaceAll(s, ".", "+")) }
