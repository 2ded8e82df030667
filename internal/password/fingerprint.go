package password

import (
	"context"
	"errors"
	"strings"
)

// errSalt: what should make fingerprints cannot.
var errSalt = errors.New("the salt of the fingerprints is malformed")

// NewFingerprintSalt returns a salt for [Hasher.Fingerprint], which also fixes the cost: fingerprints stay comparable
// when the parameters of hashes change later.
func (h *Hasher) NewFingerprintSalt() string {
	s := argon2idHash{params: h.params, salt: randomBytes(saltBytes)}.String()
	return strings.TrimSuffix(s, "$")
}

// Fingerprint returns a text that is the same for the same secrets and the same salt, and that costs as much to guess
// from as a password hash. It serves to recognize a secret again that must not be kept. Errors are technical: a
// malformed salt, a *[BusyError], or the context's.
func (h *Hasher) Fingerprint(ctx context.Context, salt string, secrets ...string) (string, error) {
	// Completed by a tag, a salt reads as any stored hash does, within the same ceilings.
	rest, ok := strings.CutPrefix(salt+"$"+phcBase64.EncodeToString(make([]byte, tagBytes)), "$argon2id$")
	parsed, err := parseArgon2id(rest)
	if !ok || err != nil {
		return "", errSalt
	}
	release, err := h.slots.Acquire(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	p := parsed.(argon2idHash)
	// NUL is in no environment variable and in no password, so two lists never run together into the same bytes.
	return phcBase64.EncodeToString(argon2id([]byte(strings.Join(secrets, "\x00")), p.salt, p.params, tagBytes)), nil
}
