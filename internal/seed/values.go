package seed

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Sources of values in [Describe]. A password may also come from a file, and the username from the e-mail address.
const (
	SourceConfig  = "the configuration"
	SourceEnv     = "the environment"
	SourceDefault = "the default" // not set
	SourceNone    = "not set"     // not set, without a default
)

// value is one setting with its source.
type value struct {
	text   string
	key    string // name of the variable
	name   string // name in errors: the variable or the option
	source string // for display; "" if not given
}

func (v value) set() bool { return v.source != "" }

// Values are the checked values of the administrator. They hold a secret, which is never printed.
type Values struct {
	mode                 Mode
	formerAdmin          string
	modeFrom, formerFrom string // a source

	user, email, name value

	secret   value   // the form in which the password is given, without its text
	password *string // pointers, since printing a struct then shows addresses only
	hash     *string

	force     bool
	forceFrom value // without its text
}

// Mode returns the policy.
func (v *Values) Mode() Mode { return v.mode }

// Username returns the name for a new administrator: ADMIN_USER, else with [ModeManaged] the local part of the e-mail,
// else "admin".
func (v *Values) Username() string {
	if v.user.text != "" {
		return v.user.text
	}
	if local, _, found := strings.Cut(v.email.text, "@"); found && v.mode == ModeManaged {
		return local
	}
	return defaultUser
}

// Email returns ADMIN_EMAIL, "" when not given.
func (v *Values) Email() string { return v.email.text }

// HasPassword reports whether a password is given in any form.
func (v *Values) HasPassword() bool { return v.password != nil || v.hash != nil }

// PasswordSource returns the name of the variable or option that sets the password.
func (v *Values) PasswordSource() string { return v.secret.name }

// HashPassword returns a hash of the password: the one that was given, or a new one. Errors are those of
// [password.Hasher.Hash].
func (v *Values) HashPassword(ctx context.Context, h *password.Hasher) (string, error) {
	switch {
	case v.hash != nil:
		return *v.hash, nil
	case v.password != nil:
		return h.Hash(ctx, *v.password)
	}
	return "", fmt.Errorf("%s is not set", v.secret.name)
}

// sameAs reports whether stored is a hash of the password. A hash that was given is compared as text: there is nothing
// else to compare.
func (v *Values) sameAs(ctx context.Context, h *password.Hasher, stored string) (bool, error) {
	if v.hash != nil || v.password == nil {
		return v.hash != nil && *v.hash == stored, nil
	}
	ok, _, err := h.Verify(ctx, stored, *v.password)
	return ok, err
}

// fingerprint returns a keyed hash by which these values are recognized.
func (v *Values) fingerprint(ctx context.Context, h *password.Hasher, salt string) (string, error) {
	form, secret := "password", v.password
	if v.hash != nil {
		form, secret = "hash", v.hash
	}
	if secret == nil {
		return "", fmt.Errorf("%s is not set", v.secret.name)
	}
	text := *secret
	if form == "password" {
		text = password.Normalize(text)
	}
	return h.Fingerprint(ctx, salt, store.FoldName(v.Username()), form, text)
}

// String shows no secret.
func (v *Values) String() string {
	if v == nil {
		return "seed values: none"
	}
	secret := "no password"
	if v.HasPassword() {
		secret = "password from " + v.secret.name
	}
	return fmt.Sprintf("admin %s: user %q, %s", v.mode, v.Username(), secret)
}

// GoString shows no secret.
func (v *Values) GoString() string { return v.String() }

// Format shows no secret, whatever the verb.
func (v *Values) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, v.String()) }

// MarshalJSON shows no secret.
func (v *Values) MarshalJSON() ([]byte, error) { return json.Marshal(v.String()) }
