package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// alteredMails are addresses that become one in example.com when they are cut, cleaned, trimmed or folded.
var alteredMails = []string{
	strings.Repeat("a", 242) + "@example.com.evil.example", "boss@example.com\x00", "boss@example.com\u200b", "bo\u00adss@example.com",
	"boss@example.com\n", "\r\nboss@example.com", " boss@example.com", "boss@example.com\t", "\u202eboss@example.com", "boss@exam\ue000ple.com",
	"boss@example.com\u00a0", "\u2003boss@example.com", "boss\u034f@example.com", "boss@example.com\ufe0f", "\u3164boss@example.com", "boss@example.com\U000e0100",
	"boss@example.com\ufffd", "boss@example.com.", "\uff42oss@example.com", "bo\u017fs@example.com", `"boss"@example.com`, "boss@evil.example@example.com", "boss@example.com,x@evil.example",
}

// alteredGroups become "admins" in the same ways.
var alteredGroups = []string{
	" admins", "admins ", "admins\n", "\tadmins", "admins\u00a0", "\u2003admins", "\u3000admins", "admins\x00", "ad\u00admins", "admins\u200b", "admins\u034f",
	"\u202eadmins", "admins\ue000", "admins\ufe0f", "\u3164admins", "admins\ufffd", "admins\u2800", "Admins", "\uff41dmins",
}

// What cleaning changes was not signed: a stranger who can choose an odd address would be let in, or become somebody.
func TestAnEmailThatCleaningChangesOpensNothing(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*oidc.Config){
		"allow domain": func(c *oidc.Config) { c.Allow = []oidc.Allow{{Field: "domain", Values: []string{"example.com"}}} },
		"allow email": func(c *oidc.Config) {
			c.Allow = []oidc.Allow{{Field: "email", Values: []string{"boss@example.com", strings.Repeat("a", 242) + "@example.com"}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t, change)
			for _, mail := range alteredMails {
				w.idp.AddUser("user-9", map[string]any{"email": mail, "email_verified": true})
				w.idp.SignInAs("user-9")
				w.browser().viaProvider("").want(t, http.StatusForbidden, "not allowed")
			}
			w.nobody(t)
			if n := w.logs.FilterMessageSnippet("ignored a claim value").Len(); n < len(alteredMails) {
				t.Errorf("%d warnings of %d values", n, len(alteredMails))
			}
			for _, e := range w.logs.FilterMessageSnippet("ignored a claim value").All() {
				if text := fmt.Sprint(e.ContextMap()); strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' && r != '…' }) {
					t.Errorf("the log carries what the person chose: %+q", text)
				}
			}
		})
	}
}

func TestAnEmailThatCleaningChangesBecomesNobody(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t, func(c *oidc.Config) { c.Link = oidc.LinkVerifiedEmail })
	root := w.user(t, "root")
	for i, odd := range []string{"\x00", "\u200b", "\u00ad", "\n", " ", "\u034f", "\u00a0"} {
		for j, mail := range []string{root.Email + odd, odd + root.Email} {
			subject := fmt.Sprintf("stranger-%d-%d", i, j)
			w.idp.AddUser(subject, map[string]any{"email": mail, "email_verified": true})
			w.idp.SignInAs(subject)
			b := w.browser()
			b.viaProvider("").wantRedirect(t, "/")
			if who := b.who().User; who.ID == root.ID || who.Role != "user" || who.Email != "" {
				t.Fatalf("%+q became %+v", mail, who)
			}
			if u := w.user(t, b.who().User.Username); u.EmailVerified || u.Email != "" {
				t.Errorf("%+q is kept as %q, verified: %v", mail, u.Email, u.EmailVerified)
			}
		}
	}
}

func TestAGroupThatCleaningChangesGivesNothing(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t, func(c *oidc.Config) { c.AdminGroups = []string{"admins"} })
	for _, g := range alteredGroups {
		w.idp.SetClaim("groups", []string{g, "c"})
		b := w.browser()
		b.viaProvider("").wantRedirect(t, "/")
		if who := b.who().User; who.Role != "user" || slices.Contains(who.Groups, "admins") {
			t.Errorf("%+q made %+v", g, who)
		}
	}
	strict := newOIDCWorld(t, func(c *oidc.Config) { c.Allow = []oidc.Allow{{Field: "group", Values: []string{"admins"}}} })
	strict.idp.SetClaim("groups", alteredGroups)
	strict.browser().viaProvider("").want(t, http.StatusForbidden, "not allowed")
	strict.nobody(t)
}

func TestAGroupWithACommaIsOneGroup(t *testing.T) {
	t.Parallel()
	const dn = "cn=Admins,ou=groups,dc=example"
	w := newOIDCWorld(t, func(c *oidc.Config) {
		c.AdminGroups, c.Allow = []string{dn}, []oidc.Allow{{Field: "group", Values: []string{dn}}}
	})
	w.idp.SetClaim("groups", []string{dn})
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	if who := b.who().User; who.Role != "admin" || !slices.Equal(who.Groups, []string{dn}) {
		t.Errorf("became %+v", who)
	}
}

func TestNobodyIsLockedOutByOneGroupMore(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 300 {
		many = append(many, fmt.Sprintf("group-%03d", i))
	}
	w := newOIDCWorld(t, func(c *oidc.Config) {
		c.Allow, c.AdminGroups = []oidc.Allow{{Field: "group", Values: []string{"zz-staff"}}}, []string{"zzz-admins"}
	})
	w.idp.SetClaim("groups", append(many, "zz-staff", "zzz-admins"))
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	who := b.who().User
	if who.Role != "admin" || !slices.Contains(who.Groups, "zz-staff") || len(who.Groups) != 200 {
		t.Errorf("%s in %d groups", who.Role, len(who.Groups))
	}
	// An administrator may give other names and groups to somebody whose provider gave more than may be given here.
	id, username := who.ID, "renamed"
	groups := append(slices.Clone(who.Groups), "given-here")
	if _, err := w.Accounts.Update(t.Context(), account.Actor{Kind: account.CommandLine}, id, account.Patch{Username: &username, Groups: &groups}); err != nil {
		t.Errorf("renaming: %v", err)
	}
}

// What the store could not keep is left out before it comes there: no sign-in fails for what a profile says.
func TestOddValuesNeverFailASignIn(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	big := strings.Repeat("\ufdfa", 70) // each folds into 18 characters
	w.idp.AddUser("user-9", map[string]any{
		"preferred_username": strings.Repeat("\ufdfa", 254), "name": strings.Repeat("\ufdfa", 254), "email": big + "@x.example", "email_verified": true,
		"groups": []any{strings.Repeat("\ufdfa", 254), map[string]any{}, 7, []any{}, nil, big},
	})
	w.idp.SignInAs("user-9")
	for range 2 {
		w.browser().viaProvider("").wantRedirect(t, "/")
	}
	if u := w.user(t, "user-9"); u.Email != "" || u.EmailVerified {
		t.Errorf("keeps %q", u.Email)
	}
}

func TestARefreshThatCannotKeepAValueStillTakesRightsAway(t *testing.T) {
	t.Parallel()
	for name, mail := range map[string]any{
		"too long when folded": strings.Repeat("\ufdfa", 70) + "@x.example", "a list": []any{"a", "b"}, "an object": map[string]any{"a": "b"}, "a number": 7, "cut": alteredMails[0],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t, func(c *oidc.Config) { c.AdminGroups = []string{"admins"} })
			w.idp.SetClaim("groups", []string{"admins", "staff"})
			b := w.signedInFor(t, 6*time.Minute)
			w.idp.SetClaim("groups", []string{"staff"})
			w.idp.SetClaim("email", mail)
			if l := w.fresh(t, w.oidc, b); l == nil || l.User.Role != store.RoleUser || !slices.Equal(l.User.Groups, []string{"staff"}) || l.User.EmailVerified {
				t.Errorf("goes on as %+v", l)
			}
		})
	}
}

// Whatever JSON a provider signs for a claim is looked at with typed accessors: comparing decoded lists would panic.
func TestNoTypeOfAClaimPanics(t *testing.T) {
	t.Parallel()
	values := []any{nil, true, 7, 1e300, "", "x", []any{}, []any{"a@b.example"}, []any{"a", "b"}, []any{[]any{}}, map[string]any{}, map[string]any{"a": []any{}}}
	w := newOIDCWorld(t)
	for _, name := range []string{"email", "email_verified", "groups", "name", "preferred_username", "auth_time", "sid", "azp", "at_hash", "nbf", "nonce", "aud", "iss", "sub", "iat", "exp"} {
		for _, v := range values {
			set := func(c map[string]any) { c[name] = v }
			w.idp.SetFaults(func(l *provider.Faults) { l.ID, l.UserInfo = set, set })
			b := w.browser()
			b.ip = fmt.Sprintf("198.51.100.%d", len(name)) // attempts that come to nothing are counted by address
			if a := b.viaProvider(""); a.StatusCode == http.StatusTooManyRequests || a.StatusCode >= http.StatusInternalServerError && a.StatusCode != http.StatusBadGateway {
				t.Errorf("%s = %v: status %d", name, v, a.StatusCode)
			}
		}
	}
	w.idp.ClearFaults()
	w.idp.SetClaim("email", []any{"one@example.com"})
	b := w.signedInFor(t, 6*time.Minute)
	if who := b.who().User; who.Email != "one@example.com" {
		t.Errorf("a list of one address is %q", who.Email)
	}
	if w.fresh(t, w.oidc, b) == nil {
		t.Error("the session has ended")
	}
}

func TestASignedUserinfoOfLongAgoIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(c map[string]any)
		good   bool
	}{
		"without times":   {func(map[string]any) {}, true},
		"in time":         {func(c map[string]any) { c["exp"], c["iat"], c["nbf"] = int64(1)<<36, 1000, nil }, true},
		"expired":         {func(c map[string]any) { c["exp"] = 1000 }, false},
		"expiry is text":  {func(c map[string]any) { c["exp"] = "never" }, false},
		"of the future":   {func(c map[string]any) { c["iat"] = int64(1) << 36 }, false},
		"not valid yet":   {func(c map[string]any) { c["nbf"] = int64(1) << 36 }, false},
		"of another":      {func(c map[string]any) { c["iss"] = "https://evil.example" }, false},
		"for another":     {func(c map[string]any) { c["aud"] = "other" }, false},
		"for nobody":      {func(c map[string]any) { c["aud"] = []any{} }, false},
		"of another kind": {func(c map[string]any) { c["iss"] = []any{"x"} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			w.idp.SetFaults(func(l *provider.Faults) { l.JWTInfo, l.UserInfo = true, c.change })
			b := w.browser()
			if b.viaProvider(""); b.signedIn() != c.good {
				t.Errorf("signed in: %v", b.signedIn())
			}
		})
	}
}

// twice signs claims with one member there two times.
func twice(member string) func(claims map[string]any) any {
	return func(claims map[string]any) any {
		b, err := json.Marshal(claims)
		if err != nil {
			panic(err)
		}
		return provider.RSA(0).SignBytes([]byte(strings.TrimSuffix(string(b), "}")+","+member+"}"), nil)
	}
}

// raw signs claims with one text written as it is in JSON.
func raw(name, text string) func(claims map[string]any) any {
	return func(claims map[string]any) any {
		claims[name] = "REPLACED"
		b, err := json.Marshal(claims)
		if err != nil {
			panic(err)
		}
		return provider.RSA(0).SignBytes([]byte(strings.ReplaceAll(string(b), `"REPLACED"`, text)), nil)
	}
}

// valueModules join the modules of the conformance suite.
var valueModules = []module{
	{name: "null-is-absent", lie: lies(func(l *provider.Faults) {
		l.ID = func(c map[string]any) {
			for _, name := range []string{"azp", "at_hash", "sid", "nbf", "auth_time", "email", "groups"} {
				c[name] = nil
			}
		}
	})},
	{name: "exp-null", lie: lies(func(l *provider.Faults) { l.ID = func(c map[string]any) { c["exp"] = nil } }), sees: unverifiable},
	{name: "sub-null", lie: lies(func(l *provider.Faults) { l.ID = func(c map[string]any) { c["sub"] = nil } }), sees: unverifiable},
	{name: "sub-twice", lie: signWith(twice(`"sub":"user-1"`)), sees: unverifiable},
	{name: "groups-twice", lie: signWith(twice(`"groups":["admins"],"groups":[]`)), sees: unverifiable},
	{name: "a-nested-member-twice", lie: signWith(twice(`"org":{"a":1,"a":2}`)), sees: unverifiable},
	// Half of a surrogate pair and the replacement character are one text to every decoder of JSON here.
	{name: "sub-with-half-a-surrogate", lie: signWith(raw("sub", `"user\ud800"`)), sees: unverifiable},
	{name: "sub-with-the-replacement-character", lie: claim("sub", "user\ufffd"), sees: unverifiable},
	{name: "sid-with-half-a-surrogate", lie: signWith(raw("sid", `"\udc00"`)), sees: unverifiable},
	{name: "email-verified-in-another-case", cfg: func(c *oidc.Config) {
		c.Allow = []oidc.Allow{{Field: "domain", Values: []string{"example.com"}}}
	}, lie: lies(func(l *provider.Faults) {
		change := func(c map[string]any) { delete(c, "email_verified"); c["Email_Verified"] = true }
		l.ID, l.UserInfo = change, change
	}), sees: "not verified", info: true},
}

// refusing is a store that does not take what a provider says.
type refusing struct {
	store.Store
	err error
}

func (r refusing) Change(ctx context.Context, fn func(store.Tx) error) error {
	return r.Store.Change(ctx, func(tx store.Tx) error { return fn(refusingTx{tx, r.err}) })
}

type refusingTx struct {
	store.Tx
	err error
}

func (r refusingTx) UpdateIdentity(context.Context, store.Identity) error { return r.err }

// A session must not keep its rights for good because what takes them away cannot be written.
func TestARefreshThatCannotBeAppliedEndsTheSession(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		ends bool
	}{
		"the store refuses the value":  {errors.New("invalid argument"), true},
		"the value is somebody else's": {&store.ConflictError{Field: "email"}, true},
		"the store is away":            {fmt.Errorf("update: %w", store.ErrUnavailable), false},
		"there was no time":            {context.DeadlineExceeded, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t, func(c *oidc.Config) { c.AdminGroups = []string{"admins"} })
			w.idp.SetClaim("groups", []string{"admins"})
			b := w.signedInFor(t, 6*time.Minute)
			w.idp.SetClaim("groups", []string{})
			w.oidc.Service.Store = refusing{w.oidc.Service.Store, c.err}
			if ended := w.fresh(t, w.oidc, b) == nil; ended != c.ends {
				t.Errorf("the session has ended: %v", ended)
			}
			if b.signedIn() == c.ends {
				t.Errorf("signed in: %v", !c.ends)
			}
		})
	}
}
