package password

import (
	"context"
	"errors"
	"strings"
)

// errSalt means that the salt of fingerprints is malformed.
var errSalt = errors.New("the salt of the fingerprints is malformed")

// NewFingerprintSalt returns a salt for [Hasher.Fingerprint]. It includes the cost parameters, so that fingerprints
// stay comparable when the parameters of hashes change.
func (h *Hasher) NewFingerprintSalt() string {
	s := argon2idHash{params: h.params, salt: randomBytes(saltBytes)}.String()
	return strings.TrimSuffix(s, "$")
}

// Fingerprint returns a text that is the same for the same secrets and salt, and that is as expensive to guess from as
// a password hash. It serves to recognize a secret that must not be stored. Errors are technical: a malformed salt, a
// *[BusyError], or the context's.
func (h *Hasher) Fingerprint(ctx context.Context, salt string, secrets ...string) (string, error) {
	// With a tag appended, a salt parses like any stored hash, within the same ceilings.
	rest, ok := strings.CutPrefix(salt+"$"+phcBase64.EncodeToString(make([]byte, tagBytes)), "$argon2id$")
	parsed, err := parseArgon2id(rest)
	p, isArgon2id := parsed.(argon2idHash)
	if !ok || err != nil || !isArgon2id {
		return "", errSalt
	}
	release, err := h.slots.Acquire(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	// No environment variable and no password contains NUL, so different lists never give the same bytes.
	return phcBase64.EncodeToString(argon2id([]byte(strings.Join(secrets, "\x00")), p.salt, p.params, tagBytes)), nil
}
