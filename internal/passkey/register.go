package passkey

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/gatehouse-auth/gatehouse/store"
)

// handleSize is the size of a user handle (Web Authentication Level 3, section 14.6.1): random, and nothing else.
const handleSize = 64

// NewHandle returns a user handle, base64url.
func NewHandle() string {
	b := make([]byte, handleSize)
	_, _ = rand.Read(b) // never fails (crypto/rand, Go 1.24)
	return encode(b)
}

// BeginRegistration returns what a browser makes a passkey with. handle is that of the user, and existing are the
// user's passkeys, which the authenticators that hold them refuse to make again.
func (s *Service) BeginRegistration(ctx context.Context, c Ceremony, u store.User, handle string,
	existing []store.Passkey,
) (Options, error) {
	w, err := party(c.Site)
	if err != nil {
		return Options{}, err
	}
	if !c.valid() || c.UserID != u.ID {
		return Options{}, ErrRefused
	}
	p, err := personOf(u, handle)
	if err != nil {
		return Options{}, err
	}
	var exclude []protocol.CredentialDescriptor
	for _, k := range store.PasskeysOf(existing, c.Site.RPID) {
		known := credential(k)
		exclude = append(exclude, known.Descriptor())
	}
	creation, session, err := w.BeginRegistration(p,
		webauthn.WithCredentialParameters(algorithms),
		webauthn.WithExclusions(exclude),
		webauthn.WithAuthenticatorSelection(protocol.AuthenticatorSelection{
			ResidentKey:      protocol.ResidentKeyRequirementPreferred,
			UserVerification: protocol.VerificationPreferred,
		}),
		// Some browsers save the properties only when they are asked for.
		webauthn.WithExtensions(webauthn.WithExtensionCredProps()),
	)
	if err != nil {
		return Options{}, fmt.Errorf("beginning to make a passkey: %w", err)
	}
	sealed, err := s.seal(ctx, c, session)
	if err != nil {
		return Options{}, err
	}
	return Options{PublicKey: creation.Response, State: sealed}, nil
}

func personOf(u store.User, handle string) (*person, error) {
	raw, err := decode(handle)
	if err != nil || len(raw) != handleSize {
		return nil, fmt.Errorf("the user handle of %s in the store is damaged", u.ID)
	}
	return &person{handle: raw, name: u.Username, display: DisplayName(u)}, nil
}

// DisplayName returns what password managers show a passkey of a user as.
func DisplayName(u store.User) string {
	if u.Name == "" {
		return u.Username
	}
	return u.Name
}

// FinishRegistration returns the passkey that a browser has made, without id, name and time. [ErrRefused] means that
// the response is none of this ceremony; any other error is technical.
func (s *Service) FinishRegistration(ctx context.Context, c Ceremony, sealed, attestation string, u store.User,
	handle string,
) (store.Passkey, Once, error) {
	session, once, err := s.open(ctx, c, sealed)
	if err != nil {
		return store.Passkey{}, Once{}, err
	}
	w, err := party(c.Site)
	if err != nil {
		return store.Passkey{}, Once{}, err
	}
	p, err := personOf(u, handle)
	if err != nil {
		return store.Passkey{}, Once{}, err
	}
	raw, err := parseAttestation(attestation)
	if err != nil || c.UserID != u.ID {
		return store.Passkey{}, Once{}, ErrRefused
	}
	if raw.Response.CollectedClientData.Origin != c.Site.Origin {
		return store.Passkey{}, Once{}, ErrRefused
	}
	made, err := w.CreateCredential(p, session, raw)
	if err != nil || len(made.PublicKey) > maxPublicKey {
		return store.Passkey{}, Once{}, ErrRefused
	}
	k := store.Passkey{
		UserID: u.ID, Handle: handle, RPID: c.Site.RPID, CredentialID: encode(made.ID), PublicKey: made.PublicKey,
		AAGUID: hex.EncodeToString(made.Authenticator.AAGUID), Attachment: string(made.Authenticator.Attachment),
		Transports: knownTransports(made.Transport),
		PasskeyState: store.PasskeyState{
			SignCount: made.Authenticator.SignCount, UserVerified: made.Flags.UserVerified,
			BackupEligible: made.Flags.BackupEligible, BackedUp: made.Flags.BackupState,
		},
	}
	if rk := made.Extensions.RK; rk != nil {
		k.Discoverable = "no"
		if *rk {
			k.Discoverable = "yes"
		}
	}
	return k, once, nil
}

// knownTransports returns the transports that we know, each once: they are a hint, and come from the browser.
func knownTransports(list []protocol.AuthenticatorTransport) []string {
	var out []string
	for _, known := range []protocol.AuthenticatorTransport{
		protocol.USB, protocol.NFC, protocol.BLE, protocol.SmartCard, protocol.Hybrid, protocol.Internal,
	} {
		for _, t := range list {
			if t == known {
				out = append(out, string(t))
				break
			}
		}
	}
	return out
}
