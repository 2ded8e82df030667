package password

import (
	"context"
	"crypto/rand"

	"golang.org/x/text/unicode/norm"
)

// MaxBytes is the longest password, in bytes after [Normalize].
const MaxBytes = 1024

// Normalize returns the one spelling under which a password is hashed and checked: NFC. Keyboards and systems differ
// in how they compose "é"; people do not know. The Hasher applies it itself.
func Normalize(password string) string { return norm.NFC.String(password) }

// Hasher makes and checks password hashes. It is safe for concurrent use.
type Hasher struct {
	params Params
	slots  *Slots
	// dummy is a hash of nothing in particular with the current parameters: what is checked when there is nothing
	// to check.
	dummy argon2idHash
}

// NewHasher makes a Hasher of cost p whose work is bounded by s (nil: [DefaultSlots]). It takes p as it is, also
// below the [Floor]: the configuration validates, tests want cheap hashes.
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

// Enter is [Slots.Enter]: what is turned away in a flood must be next to free.
func (h *Hasher) Enter(ctx context.Context) (placed context.Context, leave func(), err error) {
	return h.slots.Enter(ctx)
}

// Hash returns the argon2id hash of a password in PHC form, with a salt of its own. It refuses what could never be
// checked again (a *[PolicyError]: empty, too long, not UTF-8) but does not judge strength: see [Policy]. Other errors
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
// not what [Hasher.Hash] would make today. A hash that cannot be read, and a password that cannot be one, are no match
// and no error, at the cost of one hash. Errors are technical only (a *[BusyError], or the context's): nothing was
// found out, and the answer is never ok.
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

// Dummy takes as long as Verify does with a hash of the current parameters. Call it where there is no hash to check
// (unknown user, account without a password): otherwise the quick answer would tell which names exist.
func (h *Hasher) Dummy(ctx context.Context, password string) error {
	release, err := h.slots.Acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	h.verifyDummy(Normalize(password))
	return nil
}

// verifyDummy spends the time of one check.
func (h *Hasher) verifyDummy(password string) {
	_ = h.dummy.matches([]byte(password[:min(len(password), MaxBytes)]))
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand, Go 1.24)
	return b
}
