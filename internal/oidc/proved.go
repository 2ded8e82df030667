package oidc

import (
	"encoding/json"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
)

// Proved is what one answer of a provider said of a person, as far as decisions depend on it. It is one set: no part of it
// is judged together with a part of another answer.
type Proved struct {
	Email         string   `json:"e,omitempty"`
	EmailVerified bool     `json:"v,omitempty"`
	Groups        []string `json:"g,omitempty"`
}

// Proved returns what the provider said of the person.
func (p *Person) Proved() Proved {
	return Proved{Email: p.Email.String(), EmailVerified: p.EmailVerified, Groups: p.Groups.Strings()}
}

// Text returns the set as it is kept beside a session.
func (p Proved) Text() string {
	b, _ := json.Marshal(p) // strings and booleans always marshal
	return string(b)
}

// ReadProved reads what [Proved.Text] wrote. What cannot be read proves nothing.
func ReadProved(text string) Proved {
	var p Proved
	if text == "" || json.Unmarshal([]byte(text), &p) != nil {
		return Proved{}
	}
	return p
}

// Person returns somebody with the subject of whom the provider said this. What is kept is held to the same as what comes:
// an older version kept values that prove nothing.
func (p Proved) Person(subject string) *Person {
	mail, _ := identifier.ParseEmail(p.Email)
	return &Person{Subject: subject, Email: mail, EmailVerified: p.EmailVerified && !mail.IsZero(), Groups: identifier.ParseGroups(p.Groups)}
}

// AuthTime returns when the person proved to the provider who they are, the zero time when it does not say.
func (p *Person) AuthTime() time.Time { return p.authTime }

// checkAuthTime refuses a proof of the future, and with since one that is older or is none: the provider was asked to
// have it made anew, and has to say that it was (OpenID Connect Core 1.0, section 3.1.2.1, max_age).
func checkAuthTime(at, since, now time.Time) error {
	switch {
	case at.After(now.Add(leeway)):
		return fail(Invalid, "ID token: auth_time is in the future; compare the clocks of both sides")
	case since.IsZero():
		return nil
	case at.IsZero():
		return fail(Unproved, "the provider does not say that it asked the person again: auth_time is missing though max_age was asked for")
	case at.Before(since.Add(-leeway)):
		return fail(Unproved, "the provider did not ask the person again: auth_time is older than the request")
	}
	return nil
}
