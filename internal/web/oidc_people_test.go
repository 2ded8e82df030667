package web_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
	"github.com/gatehouse-auth/gatehouse/store"
)

func (ow *oidcWorld) user(t testing.TB, name string) store.User {
	t.Helper()
	u, err := ow.Store.UserByUsername(t.Context(), name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return u
}

// audited returns the newest events of an action.
func (ow *oidcWorld) audited(t testing.TB, action string) []store.Event {
	t.Helper()
	page, err := ow.Store.Events(t.Context(), store.EventQuery{Action: action})
	if err != nil {
		t.Fatal(err)
	}
	return page.Items
}

// The world has a local "ada"; the provider's person wishes to be called that, too.
func TestAClashingUsernameGetsAFreeOneAndNeverMerges(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	if who := b.who(); who.User.Username != "ada-2" || who.User.ID == w.ada.ID {
		t.Fatalf("became %+v", who.User)
	}
	w.idp.AddUser("user-2", map[string]any{"preferred_username": "ADA"})
	w.idp.SignInAs("user-2")
	c := w.browser()
	c.viaProvider("").wantRedirect(t, "/")
	if name := c.who().User.Username; name != "ADA-3" {
		t.Errorf("the third one is called %q", name)
	}
	b2 := w.browser()
	w.idp.SignInAs("user-1")
	b2.viaProvider("").wantRedirect(t, "/")
	if b2.who().User.ID != b.who().User.ID {
		t.Error("the same person has become somebody else")
	}
	if w.user(t, "ada-2").Local || w.user(t, "ada-2").Origin != store.OriginOIDC {
		t.Error("the account is a local one")
	}
}

func TestUsernamesComeFromTheFirstClaimThatHasOne(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		claims map[string]any
		cfg    func(*oidc.Config)
		want   string
	}{
		"preferred_username":            {map[string]any{"preferred_username": "grace", "email": "g@example.com"}, nil, "grace"},
		"the e-mail's local part":       {map[string]any{"email": "hopper@example.com"}, nil, "hopper"},
		"the subject":                   {map[string]any{}, nil, "user-9"},
		"a configured claim":            {map[string]any{"preferred_username": "x", "nick": "amazing"}, func(c *oidc.Config) { c.Claims.Username = "nick" }, "amazing"},
		"a nested claim":                {map[string]any{"org": map[string]any{"login": "deep"}}, func(c *oidc.Config) { c.Claims.Username = "org.login" }, "deep"},
		"a claim with dots in its name": {map[string]any{"https://example.com/name": "dotted"}, func(c *oidc.Config) { c.Claims.Username = "https://example.com/name" }, "dotted"},
		"a configured claim is missing": {map[string]any{"preferred_username": "fallback"}, func(c *oidc.Config) { c.Claims.Username = "nick" }, "fallback"},
		"a reserved name":               {map[string]any{"preferred_username": "Admin"}, nil, "Admin-2"},
		"a local account's e-mail":      {map[string]any{"preferred_username": "ROOT@example.test"}, nil, "ROOT@example.test-2"},
		"control characters and commas": {map[string]any{"preferred_username": "a\r\nb,\u202ec\x00"}, nil, "abc"},
		"nothing but rubbish":           {map[string]any{"preferred_username": "\u200b,\n"}, nil, "user-9"},
		"a list":                        {map[string]any{"preferred_username": []string{"x"}}, nil, "user-9"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var change []func(*oidc.Config)
			if c.cfg != nil {
				change = append(change, c.cfg)
			}
			w := newOIDCWorld(t, change...)
			w.idp.AddUser("user-9", c.claims)
			w.idp.SignInAs("user-9")
			b := w.browser()
			b.viaProvider("").wantRedirect(t, "/")
			if got := b.who().User.Username; got != c.want {
				t.Errorf("is called %q, want %q", got, c.want)
			}
		})
	}
}

func TestGroupsAreATextOrAListAndNeverForgeAnother(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		claim any
		path  string
		want  []string
	}{
		"a list":              {[]string{"b", "a", "b"}, "", []string{"a", "b"}},
		"a text":              {"staff", "", []string{"staff"}},
		"nested":              {map[string]any{"roles": []string{"x"}}, "groups.roles", []string{"x"}},
		"with a comma":        {[]string{"a,admins", "b"}, "", []string{"a,admins", "b"}}, // one group; see what goes to apps
		"a text with a comma": {"a,admins", "", []string{"a,admins"}},
		"white space outside": {[]string{" admins", "admins\n", "\u00a0admins", "admins\u2003", "c"}, "", []string{"c"}},
		"control characters":  {[]string{"ad\x00mins", "b\r\nx", "c"}, "", []string{"c"}},
		"look-alikes":         {[]string{"adm\u200bins", "c"}, "", []string{"c"}},
		"other types":         {[]any{1, nil, map[string]any{}, "c", []string{"d"}}, "", []string{"c"}},
		"a number":            {7, "", nil},
		"none":                {nil, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t, func(cfg *oidc.Config) { cfg.Claims.Groups = c.path })
			w.idp.SetClaim("groups", c.claim)
			b := w.browser()
			b.viaProvider("").wantRedirect(t, "/")
			if got := b.who().User.Groups; !slices.Equal(got, c.want) {
				t.Errorf("groups %q, want %q", got, c.want)
			}
		})
	}
}

// Names, e-mails and groups of now count, not those of the first sign-in.
func TestWhatTheProviderSaysArrivesAtEverySignIn(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	w.idp.SetClaim("groups", []string{"staff", "dev"})
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	groups := []string{"given-here", "dev", "staff"}
	if _, err := w.Accounts.Update(t.Context(), account.Actor{Kind: account.CommandLine}, b.who().User.ID, account.Patch{Groups: &groups}); err != nil {
		t.Fatal(err)
	}
	w.idp.SetClaim("groups", []string{"staff"})
	w.idp.SetClaim("name", "Ada King")
	w.idp.SetClaim("email", "king@example.com")
	w.idp.SetClaim("preferred_username", "king")
	b.viaProvider("").wantRedirect(t, "/")
	if who := b.who().User; !slices.Equal(who.Groups, []string{"given-here", "staff"}) || who.Name != "Ada King" || who.Email != "king@example.com" || who.Username != "ada-2" {
		t.Errorf("is now %+v", who)
	}
	w.idp.SetClaim("email_verified", false)
	w.idp.SetClaim("groups", nil)
	b.viaProvider("").wantRedirect(t, "/")
	if u := w.user(t, "ada-2"); u.EmailVerified || !slices.Equal(u.Groups, []string{"given-here"}) {
		t.Errorf("is now %+v", u)
	}
}

// Each rule lets the right person in and keeps the wrong one out; e-mails in odd forms have no domain.
func TestAllowLetsInWhomItNamesAndNobodyElse(t *testing.T) {
	t.Parallel()
	rule := func(field string, values ...string) oidc.Allow { return oidc.Allow{Field: field, Values: values} }
	for name, c := range map[string]struct {
		allow  []oidc.Allow
		claims map[string]any
		sees   string
	}{
		"domain":                {[]oidc.Allow{rule("domain", "example.com")}, map[string]any{"email": "x@EXAMPLE.com", "email_verified": true}, ""},
		"domain, as text":       {[]oidc.Allow{rule("domain", "example.com")}, map[string]any{"email": "x@example.com", "email_verified": "true"}, ""},
		"domain, unverified":    {[]oidc.Allow{rule("domain", "example.com")}, map[string]any{"email": "x@example.com", "email_verified": false}, "not verified"},
		"domain, no word":       {[]oidc.Allow{rule("domain", "example.com")}, map[string]any{"email": "x@example.com"}, "not verified"},
		"domain, odd word":      {[]oidc.Allow{rule("domain", "example.com")}, map[string]any{"email": "x@example.com", "email_verified": 1}, "not verified"},
		"domain, text false":    {[]oidc.Allow{rule("domain", "example.com")}, map[string]any{"email": "x@example.com", "email_verified": "false"}, "not verified"},
		"domain, another":       {[]oidc.Allow{rule("domain", "example.com")}, map[string]any{"email": "x@evil.com", "email_verified": true}, "not allowed"},
		"domain, below":         {[]oidc.Allow{rule("domain", "example.com")}, map[string]any{"email": "x@sub.example.com", "email_verified": true}, "not allowed"},
		"domain, ends alike":    {[]oidc.Allow{rule("domain", "example.com")}, map[string]any{"email": "x@badexample.com", "email_verified": true}, "not allowed"},
		"domain, two ats":       {[]oidc.Allow{rule("domain", "example.com")}, map[string]any{"email": "x@evil.com@example.com", "email_verified": true}, "not allowed"},
		"domain, quoted":        {[]oidc.Allow{rule("domain", "example.com")}, map[string]any{"email": `"x@evil.com"@example.com`, "email_verified": true}, "not allowed"},
		"domain, trailing dot":  {[]oidc.Allow{rule("domain", "example.com")}, map[string]any{"email": "x@example.com.", "email_verified": true}, "not allowed"},
		"domain, full width":    {[]oidc.Allow{rule("domain", "example.com")}, map[string]any{"email": "x@ｅxample.com", "email_verified": true}, "not allowed"},
		"domain, NUL":           {[]oidc.Allow{rule("domain", "example.com")}, map[string]any{"email": "x@evil.com\x00@example.com", "email_verified": true}, "not allowed"},
		"domain, no e-mail":     {[]oidc.Allow{rule("domain", "example.com")}, map[string]any{"email_verified": true}, "not allowed"},
		"e-mail":                {[]oidc.Allow{rule("email", "Boss@example.com")}, map[string]any{"email": "boss@example.com", "email_verified": true}, ""},
		"e-mail, another":       {[]oidc.Allow{rule("email", "boss@example.com")}, map[string]any{"email": "x@example.com", "email_verified": true}, "not allowed"},
		"e-mail, Kelvin sign":   {[]oidc.Allow{rule("email", "kim@example.com")}, map[string]any{"email": "\u212aim@example.com", "email_verified": true}, "not allowed"},
		"group":                 {[]oidc.Allow{rule("group", "ops", "staff")}, map[string]any{"groups": []string{"staff"}}, ""},
		"group, another":        {[]oidc.Allow{rule("group", "staff")}, map[string]any{"groups": []string{"Staff"}}, "not allowed"},
		"subject":               {[]oidc.Allow{rule("subject", "user-9")}, map[string]any{}, ""},
		"subject, another":      {[]oidc.Allow{rule("subject", "USER-9")}, map[string]any{}, "not allowed"},
		"any of several":        {[]oidc.Allow{rule("domain", "example.com"), rule("group", "guests")}, map[string]any{"email": "x@evil.com", "groups": "guests"}, ""},
		"none of several":       {[]oidc.Allow{rule("domain", "example.com"), rule("group", "guests")}, map[string]any{"email": "x@evil.com", "email_verified": true}, "not allowed"},
		"a flag of another one": {[]oidc.Allow{rule("domain", "example.com")}, map[string]any{"email": "x@example.com"}, "not verified"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t, func(cfg *oidc.Config) { cfg.Allow = c.allow })
			w.idp.AddUser("user-9", c.claims)
			w.idp.SignInAs("user-9")
			if strings.HasPrefix(name, "a flag of another") {
				w.idp.SetFaults(func(l *provider.Faults) { // the ID token vouches for another address
					l.ID = func(cl map[string]any) { cl["email"], cl["email_verified"] = "other@example.com", true }
				})
			}
			b := w.browser()
			a := b.viaProvider("")
			if c.sees == "" {
				a.wantRedirect(t, "/")
				return
			}
			a.want(t, http.StatusForbidden, c.sees)
			w.nobody(t)
		})
	}
}

func TestCreateSaysWhatBecomesOfUnknownPeople(t *testing.T) {
	t.Parallel()
	t.Run("deny", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t, func(c *oidc.Config) { c.Create = oidc.CreateDeny })
		w.browser().viaProvider("").want(t, http.StatusForbidden, "nobody has made an account")
		w.nobody(t)
	})
	t.Run("pending", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t, func(c *oidc.Config) { c.Create, c.AdminGroups = oidc.CreatePending, []string{"staff"} })
		w.idp.SetClaim("groups", "staff")
		for range 2 {
			b := w.browser()
			b.viaProvider("").want(t, http.StatusForbidden, "waits for an administrator")
			if b.signedIn() || w.sessions(t) != 0 {
				t.Fatal("somebody who waits is signed in")
			}
		}
		u := w.user(t, "ada-2")
		if !u.Pending || u.Active {
			t.Fatalf("the account is %+v", u)
		}
		on := true
		if _, err := w.Accounts.Update(t.Context(), account.Actor{Kind: account.CommandLine}, u.ID, account.Patch{Active: &on}); err != nil {
			t.Fatal(err)
		}
		w.browser().viaProvider("").wantRedirect(t, "/")
	})
}

// Deactivated means out, whatever the provider says.
func TestADeactivatedPersonStaysOut(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	off := false
	if _, err := w.Accounts.Update(t.Context(), account.Actor{Kind: account.CommandLine}, b.who().User.ID, account.Patch{Active: &off}); err != nil {
		t.Fatal(err)
	}
	if b.signedIn() {
		t.Error("the session goes on")
	}
	w.idp.SetClaim("name", "New Name")
	w.Clock.Advance(time.Second)
	b.viaProvider("").want(t, http.StatusForbidden, "turned off")
	if b.signedIn() || w.sessions(t) != 0 {
		t.Error("signed in again")
	}
	if u := w.user(t, "ada-2"); u.Name == "New Name" || u.Active {
		t.Error("the provider has changed a deactivated account")
	}
	if e := w.audited(t, "session.sign_in")[0]; e.Outcome != store.Denied || e.TargetID == "" || e.Actor != "provider:test" {
		t.Errorf("the audit log says %+v", e)
	}
}

func TestAnAdminGroupDecidesAtEverySignInBothWays(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t, func(c *oidc.Config) { c.AdminGroups = []string{"admins", "owners"} })
	b := w.browser()
	role := func(groups any, want string) {
		t.Helper()
		w.idp.SetClaim("groups", groups)
		b.viaProvider("").wantRedirect(t, "/")
		if got := b.who().User.Role; got != want {
			t.Fatalf("with groups %v the role is %q, want %q", groups, got, want)
		}
	}
	role([]string{"staff"}, "user")
	role([]string{"owners"}, "admin")
	role([]string{"Admins"}, "user")
	role("admins", "admin")
	role(nil, "user")
	// A role that an administrator gave here stays.
	admin := store.RoleAdmin
	if _, err := w.Accounts.Update(t.Context(), account.Actor{Kind: account.CommandLine}, b.who().User.ID, account.Patch{Role: &admin}); err != nil {
		t.Fatal(err)
	}
	role(nil, "admin")
}

// Account pre-hijacking and linking by e-mail.
func TestAnEMailJoinsAccountsOnlyWhenBothSidesAreVerifiedAndItWasAskedFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		link     oidc.Link
		email    string
		word     any
		prepare  func(t *testing.T, w *oidcWorld)
		joined   bool
		disabled bool
	}{
		"never":                     {"", "ada@example.test", true, nil, false, false},
		"verified":                  {oidc.LinkVerifiedEmail, "ADA@example.test", true, nil, true, false},
		"verified as a text":        {oidc.LinkVerifiedEmail, "ada@example.test", "true", nil, true, false},
		"unverified":                {oidc.LinkVerifiedEmail, "ada@example.test", false, nil, false, false},
		"no word":                   {oidc.LinkVerifiedEmail, "ada@example.test", nil, nil, false, false},
		"compatibility characters":  {oidc.LinkVerifiedEmail, "ａda@example.test", true, nil, false, false},
		"local side is unverified":  {oidc.LinkVerifiedEmail, "ada@example.test", true, unverify, false, false},
		"local side is deactivated": {oidc.LinkVerifiedEmail, "ada@example.test", true, deactivate, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t, func(cfg *oidc.Config) { cfg.Link = c.link })
			if c.prepare != nil {
				c.prepare(t, w)
			}
			w.idp.SetClaim("email", c.email)
			w.idp.SetClaim("email_verified", c.word)
			w.idp.SetClaim("groups", "from-there")
			b := w.browser()
			a := b.viaProvider("")
			if c.disabled {
				a.want(t, http.StatusForbidden, "turned off")
				w.nobody(t)
				return
			}
			a.wantRedirect(t, "/")
			who := b.who()
			if (who.User.ID == w.ada.ID) != c.joined {
				t.Fatalf("joined: %v; signed in as %+v", who.User.ID == w.ada.ID, who.User)
			}
			if c.joined {
				// What is the account's own stays; the provider's groups come on top.
				if who.User.Name != "Ada L." || who.User.Email != "ada@example.test" || !slices.Equal(who.User.Groups, []string{"dev", "from-there", "ops"}) {
					t.Errorf("is now %+v", who.User)
				}
				if w.browser().signIn("ada", adaPass).who().User.ID != w.ada.ID {
					t.Error("the password is gone")
				}
			}
		})
	}
}

func unverify(t *testing.T, w *oidcWorld) {
	t.Helper()
	change(t, w, func(u *store.User) { u.EmailVerified = false })
}

func deactivate(t *testing.T, w *oidcWorld) {
	t.Helper()
	change(t, w, func(u *store.User) { u.Active = false })
}

func change(t *testing.T, w *oidcWorld, f func(*store.User)) {
	t.Helper()
	err := w.Store.Change(t.Context(), func(tx store.Tx) error {
		u, err := tx.User(t.Context(), w.ada.ID)
		if err != nil {
			return err
		}
		f(&u)
		_, err = tx.UpdateUser(t.Context(), u)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
