package oidc

import (
	"encoding/json"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
)

// StoredClaims are the claims of one response of a provider that decisions depend on, as they are stored with a
// session. They are one set: no decision mixes them with claims of another response.
type StoredClaims struct {
	Email         string   `json:"e,omitempty"`
	EmailVerified bool     `json:"v,omitempty"`
	Groups        []string `json:"g,omitempty"`
	// Unlinked and Refused say that the provider vouches for nobody: the identity was unlinked (the store writes that), or
	// the provider has taken the sign-in back. Somebody of whom it says nothing but who they are has neither.
	Unlinked bool `json:"unlinked,omitempty"`
	Refused  bool `json:"refused,omitempty"`
}

// Vouched reports whether the provider stands for the person.
func (p StoredClaims) Vouched() bool { return !p.Unlinked && !p.Refused }

// Stored returns the claims to store with a session.
func (p *Claims) Stored() StoredClaims {
	return StoredClaims{Email: p.Email.String(), EmailVerified: p.EmailVerified, Groups: p.Groups.Strings()}
}

// Encode returns the claims as they are stored with a session.
func (p StoredClaims) Encode() string {
	b, _ := json.Marshal(p) // strings and booleans always marshal
	return string(b)
}

// DecodeStoredClaims reads what [StoredClaims.Encode] wrote. Malformed text gives no claims.
func DecodeStoredClaims(text string) StoredClaims {
	var p StoredClaims
	if text == "" || json.Unmarshal([]byte(text), &p) != nil {
		return StoredClaims{}
	}
	return p
}

// Claims returns the stored claims of a subject. They are validated again like new ones: an older version stored values
// that are refused now.
func (p StoredClaims) Claims(subject string) *Claims {
	mail, _ := identifier.ParseEmail(p.Email)
	return &Claims{
		Subject: subject, Email: mail, EmailVerified: p.EmailVerified && !mail.IsZero(),
		Groups: identifier.ParseGroups(p.Groups),
	}
}

// AuthTime returns when the user authenticated at the provider (auth_time), or the zero time if it does not say.
func (p *Claims) AuthTime() time.Time { return p.authTime }

// checkAuthTime refuses an auth_time in the future and, with since, one that is older or missing: the provider was
// asked to authenticate the user again, and auth_time has to show it (OpenID Connect Core 1.0, section 3.1.2.1,
// max_age).
func checkAuthTime(at, since, now time.Time) error {
	switch {
	case at.After(now.Add(leeway)):
		return fail(Invalid, "ID token: auth_time is in the future; compare the clocks of both sides")
	case since.IsZero():
		return nil
	case at.IsZero():
		return fail(NotReauthenticated,
			"the provider did not confirm that it authenticated the user again: "+
				"auth_time is missing though max_age was requested")
	case at.Before(since.Add(-leeway)):
		return fail(NotReauthenticated,
			"the provider did not authenticate the user again: auth_time is older than the request")
	}
	return nil
}
