package passkey

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"sync"

	"github.com/gatehouse-auth/gatehouse/store"
)

// Nobody returns a passkey that nobody has, for a response that names an unknown one: [Assertion.Verify] does the same
// work for it, so that the time of a refusal does not tell which passkeys there are. What it returns proves nothing.
func (a *Assertion) Nobody() store.Passkey {
	handle := a.session.UserID // of a ceremony of somebody
	if a.ceremony.Kind == SignIn {
		handle = a.parsed.Response.UserHandle
	}
	if len(handle) != handleSize {
		handle = make([]byte, handleSize)
	}
	return store.Passkey{
		UserID: a.ceremony.UserID, RPID: a.RPID(), CredentialID: a.CredentialID(), PublicKey: nobodysKey(),
		Handle: encode(handle), PasskeyState: store.PasskeyState{BackupEligible: a.flags().HasBackupEligible()},
	}
}

// nobodysKey is the public half of a key whose other half is thrown away: an elliptic curve key for ES256 (RFC 9053,
// section 7.1.1) in CBOR.
var nobodysKey = sync.OnceValue(func() []byte {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil
	}
	point, err := private.PublicKey.Bytes() // 4, x, y
	if err != nil {
		return nil
	}
	const size = 32
	out := append([]byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, size}, point[1:1+size]...)
	return append(append(out, 0x22, 0x58, size), point[1+size:]...)
})
