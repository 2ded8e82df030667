package password

import (
	"context"
	"crypto/rand"

	"golang.org/x/text/unicode/norm"
)

// MaxBytes is the longest password, in bytes after [Normalize].
const MaxBytes = 1024

// Normalize returns the form in which a password is hashed and verified: NFC. Keyboards and systems differ in how they
// compose "é". The Hasher applies it itself.
func Normalize(password string) string { return norm.NFC.String(password) }

// Hasher creates and verifies password hashes. It is safe for concurrent use.
type Hasher struct {
	params Params
	slots  *Slots
	// dummy is a hash of no password, with the current parameters: it is verified if there is no other hash.
	dummy argon2idHash
}

// NewHasher returns a Hasher of cost p that uses the slots s (nil: [DefaultSlots]). It does not validate p, for tests
// need hashes below the [MinParams]; the configuration does.
func NewHasher(p Params, s *Slots) *Hasher {
	if s == nil {
		s = DefaultSlots(p)
	}
	return &Hasher{
		params: p,
		slots:  s,
		dummy:  argon2idHash{params: p, salt: randomBytes(saltBytes), tag: randomBytes(tagBytes)},
	}
}

// Params returns the cost of new hashes.
func (h *Hasher) Params() Params { return h.params }

// Admit is [Slots.Admit].
func (h *Hasher) Admit(ctx context.Context) (admitted context.Context, leave func(), err error) {
	return h.slots.Admit(ctx)
}

// Hash returns the argon2id hash of a password in PHC form, with a new salt. It refuses passwords that could never be
// verified (a *[PolicyError]: empty, too long, not UTF-8) but does not check their strength: see [Policy]. Other errors
// are technical: a *[BusyError], or the context's.
func (h *Hasher) Hash(ctx context.Context, password string) (phc string, err error) {
	password = Normalize(password)
	if err := checkBytes(password); err != nil {
		return "", err
	}
	release, err := h.slots.Acquire(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	salt := randomBytes(saltBytes)
	made := argon2idHash{params: h.params, salt: salt, tag: argon2id([]byte(password), salt, h.params, tagBytes)}
	return made.String(), nil
}

// Verify reports whether password is the one that was hashed into encoded, and, if so, whether the hash is outdated:
// not what [Hasher.Hash] would create now. A malformed hash and an invalid password do not match, without an error and
// at the cost of one hash. Errors are technical only (a *[BusyError], or the context's); ok is false then.
func (h *Hasher) Verify(ctx context.Context, encoded, password string) (ok, outdated bool, err error) {
	release, err := h.slots.Acquire(ctx)
	if err != nil {
		return false, false, err
	}
	defer release()
	password = Normalize(password)
	stored, parseErr := parse(encoded)
	if parseErr != nil || checkBytes(password) != nil {
		h.verifyDummy(password)
		return false, false, nil
	}
	if !stored.matches([]byte(password)) {
		return false, false, nil
	}
	current, isArgon := stored.(argon2idHash)
	return true, !isArgon || !current.isCurrent(h.params), nil
}

// DummyVerify takes as long as Verify with a hash of the current parameters. Call it if there is no hash to verify
// (unknown user, account without a password): otherwise the response time would tell which names exist.
func (h *Hasher) DummyVerify(ctx context.Context, password string) error {
	release, err := h.slots.Acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	h.verifyDummy(Normalize(password))
	return nil
}

// verifyDummy takes the time of one verification.
func (h *Hasher) verifyDummy(password string) {
	_ = h.dummy.matches([]byte(password[:min(len(password), MaxBytes)]))
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand, Go 1.24)
	return b
}
