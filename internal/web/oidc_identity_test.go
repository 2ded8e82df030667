package web_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

// withClaims sets claims of ID tokens by their sub; the value nil leaves one out.
func (ow *oidcWorld) withClaims(of map[string]map[string]any) {
	ow.idp.SetFaults(func(l *provider.Faults) {
		l.ID = func(c map[string]any) {
			sub, _ := c["sub"].(string)
			for name, v := range of[sub] {
				c[name] = v
				if v == nil {
					delete(c, name)
				}
			}
		}
	})
}

// as signs in as another user of the provider.
func (b *browser) as(sub string) answer {
	b.w.T.Helper()
	return b.callback(b.start("") + "&login_hint=" + sub)
}

// The employee number 17 and the sub 17 are two people.
func TestAValueOfAnotherClaimIsNobodysSub(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	w.idp.AddUser("17", map[string]any{"preferred_username": "boss"})
	w.idp.AddUser("901", map[string]any{"preferred_username": "eve"})
	w.withClaims(map[string]map[string]any{"17": {"employee_id": "1"}, "901": {"employee_id": "17"}})
	b := w.browser()
	b.as("17").wantRedirect(t, "/")
	w.reconfigure(t, func(c *oidc.Config) { c.IdentityKey = "employee_id" })
	e := w.browser()
	e.as("901").wantRedirect(t, "/")
	if boss, eve := b.who().User, e.who().User; eve.ID == boss.ID || eve.Username != "eve" {
		t.Errorf("%+v came in as %+v", eve, boss)
	}
	if err := w.oidc.Backchannel(t.Context(), login.Client{}, "test", w.idp.LogoutToken("17", "", nil)); err != nil {
		t.Fatal(err)
	}
	if b.signedIn() || !e.signedIn() {
		t.Error("a logout of sub 17 ended the session of employee 17, or not its own")
	}
	f := w.browser()
	w.withClaims(map[string]map[string]any{"901": {"sub": "claim:employee_id=17"}})
	f.as("901").want(t, http.StatusBadRequest)
}

// allow subject has the bare value of the claim that people are known by.
func TestAllowSubjectIsTheValueOfTheIdentityKey(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t, func(c *oidc.Config) {
		c.IdentityKey, c.Allow = "oid", []oidc.Allow{{Field: "subject", Values: []string{"0a1b"}}}
	})
	w.withClaims(map[string]map[string]any{"user-1": {"oid": "0a1b"}})
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	w.Clock.Advance(6 * time.Minute)
	if w.fresh(t, w.oidc, b) == nil {
		t.Error("ended by its refresh")
	}
	w.withClaims(map[string]map[string]any{"user-1": {"oid": "another"}})
	w.browser().viaProvider("").want(t, http.StatusForbidden)
}

// A logout with sub and sid ends sessions without a sid, which may be the one that is meant, however people are known.
func TestALogoutWithSIDEndsSessionsWithoutOne(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "oid"} {
		w := newOIDCWorld(t, func(c *oidc.Config) { c.IdentityKey = key })
		w.withClaims(map[string]map[string]any{"user-1": {"oid": "0a1b", "sid": nil}})
		b := w.browser()
		b.viaProvider("").wantRedirect(t, "/")
		err := w.oidc.Backchannel(t.Context(), login.Client{}, "test", w.idp.LogoutToken("user-1", "s1", nil))
		if err != nil || b.signedIn() {
			t.Errorf("identity_key %q: signed in %t, %v", key, b.signedIn(), err)
		}
	}
}

// A session that was stepped up at a provider ends with the logout there, by sub and by sid, however people are known.
func TestALogoutEndsASessionThatWasSteppedUpThere(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "oid"} {
		for _, sid := range []string{"", "SID"} {
			w := newOIDCWorld(t, func(c *oidc.Config) { c.IdentityKey = key })
			w.withClaims(map[string]map[string]any{"user-1": {"oid": "0a1b", "sid": "SID"}})
			b := w.browser().signIn("ada", adaPass)
			b.linkProvider()
			w.Clock.Advance(time.Minute)
			b.callback(b.start("?reauth")).want(t, http.StatusSeeOther)
			err := w.oidc.Backchannel(t.Context(), login.Client{}, "test", w.idp.LogoutToken("user-1", sid, nil))
			if err != nil || b.signedIn() {
				t.Errorf("identity_key %q, sid %q: signed in %t, %v", key, sid, b.signedIn(), err)
			}
		}
	}
}

// People who are known by another claim can be unlinked.
func TestAnIdentityByAnotherClaimCanBeUnlinked(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t, func(c *oidc.Config) { c.IdentityKey = "oid" })
	w.withClaims(map[string]map[string]any{"user-1": {"oid": "0a1b"}})
	b := w.browser().signIn("ada", adaPass)
	b.linkProvider()
	b.post("/account/providers", "action", "unlink", "issuer", w.idp.Issuer, "subject", "claim:oid=0a1b").
		wantRedirect(t, prefix+"/account/providers")
	if ids, err := w.Store.Identities(t.Context(), w.ada.ID); err != nil || len(ids) != 0 {
		t.Errorf("%v, %v", ids, err)
	}
}
