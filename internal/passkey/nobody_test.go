package passkey_test

import (
	"errors"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/passkey"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/authenticator"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Trap 28: a response that names an unknown passkey is checked up to its signature, as one of a known passkey is. With the
// key of the authenticator in place of nobody's it would be right, so nothing but the signature is wrong with it; and
// nobody's key verifies nothing.
func TestAnUnknownPasskeyIsCheckedUpToItsSignature(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := authenticator.New(origin)
	known := w.register(t, key)
	for _, kind := range []passkey.Kind{passkey.SignIn, passkey.Second, passkey.StepUp} {
		o, err := w.BeginAssertion(t.Context(), w.at(kind), []store.Passkey{known})
		if err != nil {
			t.Fatal(err)
		}
		a, err := w.ReadAssertion(t.Context(), w.at(kind), o.State, key.Get(o.PublicKey))
		if err != nil {
			t.Fatal(err)
		}
		nobody := a.Nobody()
		if err := a.Verify(nobody); !errors.Is(err, passkey.ErrRefused) {
			t.Errorf("%v: %v", kind, err)
		}
		if len(nobody.PublicKey) != len(known.PublicKey) {
			t.Errorf("%v: a key of %d bytes, and one of %d", kind, len(nobody.PublicKey), len(known.PublicKey))
		}
		nobody.PublicKey = known.PublicKey
		if err := a.Verify(nobody); err != nil {
			t.Errorf("%v: it is refused before the signature is looked at: %v", kind, err)
		}
	}
}
