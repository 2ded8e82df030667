// Package authenticator is a WebAuthn authenticator and the browser in front of it, for tests: it does what it is told,
// lies included. Keys are ES256, and there is no attestation.
package authenticator

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// Flags of authenticator data (Web Authentication Level 3, section 6.1).
const (
	UserPresent    = 1 << 0
	UserVerified   = 1 << 2
	BackupEligible = 1 << 3
	BackedUp       = 1 << 4
	attested       = 1 << 6
)

// Key is a passkey with the browser that uses it. Its fields may be changed between two uses.
type Key struct {
	ID      []byte
	Handle  []byte // of its user; nil: the authenticator does not say
	Origin  string // of the page
	RPID    string // "" for what the options say
	Flags   byte
	Counter uint32
	AAGUID  [16]byte

	// Client and Response change what is signed of the browser's data, and what is sent.
	Client   func(data map[string]any)
	Response func(response map[string]any)

	private *ecdsa.PrivateKey
}

// New returns a key whose authenticator verifies its user.
func New(origin string) *Key {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	id := make([]byte, 32)
	_, _ = rand.Read(id)
	return &Key{ID: id, Origin: origin, Flags: UserPresent | UserVerified, private: private}
}

// options are what is read of PublicKeyCredentialCreationOptionsJSON and PublicKeyCredentialRequestOptionsJSON.
type options struct {
	Challenge string
	RPID      string `json:"rpId"`
	RP        struct{ ID string }
	User      struct{ ID string }
}

// Create responds to options of navigator.credentials.create, the value of "publicKey" in any form that marshals to it.
func (k *Key) Create(publicKey any) string {
	o := read(publicKey)
	handle, err := base64.RawURLEncoding.DecodeString(o.User.ID)
	if err != nil {
		panic(err)
	}
	k.Handle = handle
	data := k.authData(o.RP.ID, k.Flags|attested)
	data = append(data, k.AAGUID[:]...)
	data = binary.BigEndian.AppendUint16(data, uint16(len(k.ID)))
	data = append(data, k.ID...)
	data = append(data, k.cose()...)
	// {"fmt": "none", "attStmt": {}, "authData": data} in CBOR.
	object := append([]byte{0xa3, 0x63}, "fmt\x64none\x67attStmt\xa0\x68authData\x58"...)
	object = append(append(object, byte(len(data))), data...)
	if len(data) > 255 {
		panic("the authenticator data is too long for this encoding")
	}
	return k.respond(map[string]any{
		"clientDataJSON":    encode(k.clientData("webauthn.create", o.Challenge)),
		"attestationObject": encode(object),
		"transports":        []string{"internal"},
	})
}

// Get responds to options of navigator.credentials.get.
func (k *Key) Get(publicKey any) string {
	o := read(publicKey)
	client, data := k.clientData("webauthn.get", o.Challenge), k.authData(o.RPID, k.Flags)
	hash := sha256.Sum256(client)
	digest := sha256.Sum256(append(append([]byte{}, data...), hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, k.private, digest[:])
	if err != nil {
		panic(err)
	}
	response := map[string]any{
		"clientDataJSON": encode(client), "authenticatorData": encode(data), "signature": encode(signature),
	}
	if k.Handle != nil {
		response["userHandle"] = encode(k.Handle)
	}
	return k.respond(response)
}

func (k *Key) respond(response map[string]any) string {
	out := map[string]any{
		"id": encode(k.ID), "rawId": encode(k.ID), "type": "public-key", "authenticatorAttachment": "platform",
		"clientExtensionResults": map[string]any{}, "response": response,
	}
	if k.Response != nil {
		k.Response(out)
	}
	return string(marshal(out))
}

func (k *Key) clientData(kind, challenge string) []byte {
	data := map[string]any{"type": kind, "challenge": challenge, "origin": k.Origin, "crossOrigin": false}
	if k.Client != nil {
		k.Client(data)
	}
	return marshal(data)
}

func (k *Key) authData(rpID string, flags byte) []byte {
	if k.RPID != "" {
		rpID = k.RPID
	}
	hash := sha256.Sum256([]byte(rpID))
	return binary.BigEndian.AppendUint32(append(hash[:], flags), k.Counter)
}

// cose returns the public key {1: 2, 3: -7, -1: 1, -2: x, -3: y} in CBOR (RFC 9053, section 7.1.1).
func (k *Key) cose() []byte {
	point, err := k.private.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	out := append([]byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 32}, point[1:33]...)
	return append(append(out, 0x22, 0x58, 32), point[33:]...)
}

func read(publicKey any) options {
	var o options
	if err := json.Unmarshal(marshal(publicKey), &o); err != nil {
		panic(fmt.Sprintf("these are no options of a ceremony: %v", err))
	}
	return o
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
