// Package passkey runs the ceremonies of WebAuthn (Web Authentication Level 3): making a passkey, and proving that one
// is there. It wraps github.com/go-webauthn/webauthn, and judges by itself what that leaves to the relying party: where
// and for whom a ceremony counts, how long, user verification, backup flags and the counter.
//
// Nothing is stored when a ceremony begins. Its state goes to the browser, sealed for the ceremony's kind, the browser,
// the origin and the user, and comes back with the response of the authenticator. That it is used once only is up to
// the caller, in the transaction that uses the result: see [Once].
package passkey

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/gatehouse-auth/gatehouse/internal/seal"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Bounds of what comes from a browser, in bytes.
const (
	MaxState       = 2 << 10
	MaxAssertion   = 16 << 10
	MaxAttestation = 60 << 10
	maxPublicKey   = 2 << 10 // authenticators have none larger, and each use of one costs more
)

// TTL is how long a ceremony may take.
const TTL = 10 * time.Minute

// onceKind is what store.Tx.UseOnce knows ceremonies by.
const onceKind = "passkey"

const sealState = "passkey"

// ErrRefused means that a response does not belong to the ceremony, or proves nothing. It says no more: what exactly is
// wrong would only help whoever tries things out. A ceremony that took too long, or was begun by another version, is
// refused alike.
var ErrRefused = errors.New("the passkey was not accepted")

// Kind is what a ceremony is for. State of one kind is refused in another.
type Kind string

// Kinds of ceremonies.
const (
	Register Kind = "register" // a signed-in person adds a passkey
	Enroll   Kind = "enroll"   // a person adds one in a sign-in
	SignIn   Kind = "sign-in"  // the passkey is the only thing in a sign-in
	Second   Kind = "second"   // it is the second step of a sign-in
	StepUp   Kind = "step-up"  // a signed-in person proves it again
)

// Ceremony says where and for whom a ceremony takes place.
type Ceremony struct {
	Kind    Kind
	Site    Site
	Browser string // random value of a cookie; without one nothing is accepted
	UserID  string // "" for SignIn only
}

// row is what state is sealed for.
func (c Ceremony) row() string {
	var b strings.Builder
	for _, part := range []string{
		string(c.Kind), c.Site.Origin, c.Site.RPID, store.HashToken(c.Browser).String(), c.UserID,
	} {
		b.WriteString(strconv.Itoa(len(part)))
		b.WriteByte(':')
		b.WriteString(part)
	}
	return b.String()
}

func (c Ceremony) valid() bool {
	return store.ValidToken(c.Browser) && c.Site.RPID != "" && c.Site.Origin != "" &&
		(c.Kind == SignIn) == (c.UserID == "")
}

// Options are what a script gives to navigator.credentials, and the state that comes back with the response.
type Options struct {
	PublicKey any    `json:"publicKey"`
	State     string `json:"state"`
}

// Once identifies a ceremony. Whoever uses its result calls [Once.Use] in the same transaction.
type Once struct {
	challenge string
	expires   time.Time
}

// Use returns [ErrRefused] if the ceremony was used before.
func (o Once) Use(ctx context.Context, tx store.Tx, now time.Time) error {
	first, err := tx.UseOnce(ctx, onceKind, o.challenge, now, o.expires)
	if err != nil {
		return err
	}
	if !first {
		return ErrRefused
	}
	return nil
}

// Service runs ceremonies. It is safe for concurrent use.
type Service struct {
	Sealer *seal.Sealer
	Clock  func() time.Time
}

// state is what is sealed between the two halves of a ceremony. The library's own data is kept whole: parts of it that
// one does not know decide what it accepts.
type state struct {
	Expires int64                `json:"expires"` // Unix milliseconds
	Session webauthn.SessionData `json:"session"`
}

func (s *Service) seal(ctx context.Context, c Ceremony, session *webauthn.SessionData) (string, error) {
	plain, err := json.Marshal(state{s.Clock().Add(TTL).UnixMilli(), *session})
	if err != nil {
		return "", fmt.Errorf("writing the state of a passkey ceremony: %w", err)
	}
	sealed, err := s.Sealer.Seal(ctx, plain, sealState, c.row())
	if err != nil {
		return "", fmt.Errorf("sealing the state of a passkey ceremony: %w", err)
	}
	return sealed, nil
}

// open returns the state of a ceremony. [ErrRefused] means that it is of another one, or over; any other error is
// technical.
func (s *Service) open(ctx context.Context, c Ceremony, sealed string) (webauthn.SessionData, Once, error) {
	if !c.valid() || len(sealed) > MaxState {
		return webauthn.SessionData{}, Once{}, ErrRefused
	}
	plain, err := s.Sealer.Open(ctx, sealed, sealState, c.row())
	if errors.Is(err, seal.ErrSealed) {
		return webauthn.SessionData{}, Once{}, ErrRefused
	}
	if err != nil {
		return webauthn.SessionData{}, Once{}, fmt.Errorf("opening the state of a passkey ceremony: %w", err)
	}
	var st state
	if err := json.Unmarshal(plain, &st); err != nil || st.Session.Challenge == "" {
		return webauthn.SessionData{}, Once{}, ErrRefused // of another version
	}
	expires := time.UnixMilli(st.Expires).UTC()
	if !s.Clock().Before(expires) || st.Session.RelyingPartyID != c.Site.RPID {
		return webauthn.SessionData{}, Once{}, ErrRefused
	}
	return st.Session, Once{st.Session.Challenge, expires}, nil
}

// party returns the library's configuration for one site: its one origin is that of the request.
func party(site Site) (*webauthn.WebAuthn, error) {
	name := site.Name
	if name == "" {
		name = site.RPID
	}
	w, err := webauthn.New(&webauthn.Config{
		RPID: site.RPID, RPDisplayName: name, RPOrigins: []string{site.Origin},
		AttestationPreference: protocol.PreferNoAttestation,
		// Safari sends "appid" whether it was asked for or not, and others will send what we have never heard of.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
		Timeouts: webauthn.TimeoutsConfig{
			Login:        webauthn.TimeoutConfig{Timeout: TTL, TimeoutUVD: TTL},
			Registration: webauthn.TimeoutConfig{Timeout: TTL, TimeoutUVD: TTL},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("passkeys at %s: %w", site.RPID, err)
	}
	return w, nil
}

// algorithms are those of new passkeys, the preferred one first.
var algorithms = []protocol.CredentialParameter{
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgES256},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgEdDSA},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgRS256},
}

// person is a user as the library sees one.
type person struct {
	handle        []byte
	name, display string
	credentials   []webauthn.Credential
}

func (p *person) WebAuthnID() []byte                         { return p.handle }
func (p *person) WebAuthnName() string                       { return p.name }
func (p *person) WebAuthnDisplayName() string                { return p.display }
func (p *person) WebAuthnCredentials() []webauthn.Credential { return p.credentials }

// credential returns a passkey as the library sees one. What is not readable has no id, and so is nobody's.
func credential(p store.Passkey) webauthn.Credential {
	id, err := decode(p.CredentialID)
	if err != nil {
		return webauthn.Credential{}
	}
	c := webauthn.Credential{
		ID: id, PublicKey: p.PublicKey,
		Flags: webauthn.CredentialFlags{
			UserVerified: p.UserVerified, BackupEligible: p.BackupEligible, BackupState: p.BackedUp,
		},
		Authenticator: webauthn.Authenticator{SignCount: p.SignCount},
	}
	for _, t := range p.Transports {
		c.Transport = append(c.Transport, protocol.AuthenticatorTransport(t))
	}
	return c
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func decode(s string) ([]byte, error) { return base64.RawURLEncoding.Strict().DecodeString(s) }
