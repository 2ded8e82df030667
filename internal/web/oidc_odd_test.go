package web_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

// What a sign-in does not need cannot fail it, whatever the provider sends there.
func TestOptionalThingsThatAreOddKeepNobodyOut(t *testing.T) {
	t.Parallel()
	odd := []any{"", "x", "1700000000", 5, 1.5, true, nil, []any{}, []any{"x", 5}, map[string]any{"a": 1}}
	for _, name := range []string{"auth_time", "acr", "amr", "name", "locale", "zoneinfo"} {
		t.Run("claim "+name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			for _, v := range odd {
				if name == "auth_time" && (v == 5 || v == 1.5) {
					continue // times
				}
				claim(name, v)(t, w.idp)
				w.browser().viaProvider("").wantRedirect(t, "/")
			}
		})
	}
	for _, name := range []string{"expires_in", "refresh_token", "token_type", "scope", "refresh_expires_in"} {
		t.Run("token response "+name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			for _, v := range append(odd, "3600.0", 3600.0) {
				if _, text := v.(string); text && name == "token_type" {
					continue // another type
				}
				w.idp.SetFaults(func(l *provider.Faults) { l.Token = func(a map[string]any) { a[name] = v } })
				w.browser().viaProvider("").wantRedirect(t, "/")
			}
		})
	}
	for _, name := range []string{
		"end_session_endpoint", "revocation_endpoint", "pushed_authorization_request_endpoint", "backchannel_logout_supported",
		"frontchannel_logout_supported", "code_challenge_methods_supported", "device_authorization_endpoint",
		"token_endpoint_auth_methods_supported", "check_session_iframe", "claims_supported", "mtls_endpoint_aliases",
	} {
		t.Run("metadata "+name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			for _, v := range odd {
				w.idp.SetFaults(func(l *provider.Faults) { l.Metadata = func(m map[string]any) { m[name] = v } })
				w.Clock.Advance(11 * time.Minute)
				w.browser().viaProvider("").wantRedirect(t, "/")
			}
		})
	}
}

func TestANameIsPutTogetherFromItsParts(t *testing.T) {
	t.Parallel()
	for want, claims := range map[string]map[string]any{
		"Ada King":      {"given_name": "Ada", "family_name": "King"},
		"Ada":           {"given_name": "Ada"},
		"King":          {"family_name": "King", "given_name": []any{"x"}},
		"Countess King": {"given_name": "Ada", "family_name": "King", "name": "Countess King"},
	} {
		w := newOIDCWorld(t)
		w.idp.SetClaim("name", nil)
		for name, v := range claims {
			w.idp.SetClaim(name, v)
		}
		b := w.browser()
		b.viaProvider("").wantRedirect(t, "/")
		if got := b.who().User.Name; got != want {
			t.Errorf("the name is %q, want %q", got, want)
		}
	}
}

// rejectUserinfo makes the userinfo endpoint reject every access token.
func rejectUserinfo(idp *provider.Provider, status int, id map[string]any) {
	idp.SetFaults(func(l *provider.Faults) {
		l.Handle = func(e string, w http.ResponseWriter, _ *http.Request) bool {
			if e == "userinfo" {
				w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
				w.WriteHeader(status)
			}
			return e == "userinfo"
		}
		l.ID = func(c map[string]any) {
			for name, v := range id {
				c[name] = v
			}
		}
	})
}

// The ID token is enough where it holds what the configuration needs, and the session goes on after its refresh.
func TestTheIDTokenIsEnoughWhereUserinfoRejectsTheToken(t *testing.T) {
	t.Parallel()
	groups := func(c *oidc.Config) { c.Allow = []oidc.Allow{{Field: "group", Values: []string{"staff"}}} }
	for name, c := range map[string]struct {
		cfg    func(*oidc.Config)
		id     map[string]any
		enough bool
	}{
		"nothing is needed":       {func(*oidc.Config) {}, nil, true},
		"groups that are there":   {groups, map[string]any{"groups": []string{"staff"}}, true},
		"groups that are missing": {groups, nil, false},
		"a path that is there": {
			func(c *oidc.Config) { c.Claims.Username = "x.y" },
			map[string]any{"x": map[string]any{"y": "z"}},
			true,
		},
		"a path that is missing": {func(c *oidc.Config) { c.Claims.Username = "x.y" }, nil, false},
		"an address that a rule needs": {func(c *oidc.Config) {
			c.Allow = []oidc.Allow{{Field: "domain", Values: []string{"example.com"}}}
		}, nil, false},
	} {
		for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := newOIDCWorld(t, c.cfg)
				rejectUserinfo(w.idp, status, c.id)
				b := w.browser()
				a := b.viaProvider("")
				if !c.enough {
					a.want(t, http.StatusServiceUnavailable, misconfigured)
					return
				}
				a.wantRedirect(t, "/")
				w.Clock.Advance(6 * time.Minute)
				if w.fresh(t, w.oidc, b) == nil || w.idp.Calls("token") != 2 {
					t.Error("the session did not survive its refresh")
				}
			})
		}
	}
}

func TestUserinfoThatIsOffIsNeverAsked(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t, func(c *oidc.Config) { c.NoUserinfo = true })
	claim("groups", []string{"staff"})(t, w.idp)
	b := w.signedInFor(t, 6*time.Minute)
	if l := w.fresh(t, w.oidc, b); l == nil || !slices.Equal(l.User.Groups, []string{"staff"}) {
		t.Errorf("the session is %+v", l)
	}
	if n := w.idp.Calls("userinfo"); n != 0 {
		t.Errorf("userinfo was asked %d times", n)
	}
}

// Groups in every shape that providers send: exactly as signed, and in maps and objects only where a path says so.
func TestGroupsComeInTheShapesThatProvidersSend(t *testing.T) {
	t.Parallel()
	objects := []any{
		map[string]any{"name": "staff", "id": 1},
		map[string]any{"name": "dev"},
		map[string]any{"id": 3},
		"text", nil,
		map[string]any{"name": []any{"ops", "dev"}},
	}
	for name, c := range map[string]struct {
		path   string
		claim  string
		value  any
		groups []string
	}{
		"a list":                    {"", "groups", []any{"staff", "dev"}, []string{"dev", "staff"}},
		"a text":                    {"", "groups", "staff", []string{"staff"}},
		"a text with a comma":       {"", "groups", "staff,dev", []string{"staff,dev"}},
		"a list in a text":          {"", "groups", `["staff","dev"]`, []string{`["staff","dev"]`}},
		"DNs":                       {"", "groups", []any{"CN=Staff,OU=x,DC=y"}, []string{"CN=Staff,OU=x,DC=y"}},
		"a map without a path":      {"", "groups", map[string]any{"staff": true}, nil},
		"objects without a path":    {"", "groups", []any{map[string]any{"name": "staff"}}, nil},
		"a map with a path":         {"groups", "groups", map[string]any{"staff": map[string]any{"1": "x"}}, []string{"staff"}},
		"a map that says no":        {"groups", "groups", map[string]any{"a": false, "b": nil, "c": true}, []string{"c"}},
		"Zitadel's":                 {"urn:zitadel:iam:org:project:roles", "urn:zitadel:iam:org:project:roles", map[string]any{"admin": map[string]any{"2": "x.example"}, "dev": map[string]any{}}, []string{"admin", "dev"}},
		"objects with a path":       {"roles.name", "roles", objects, []string{"dev", "ops", "staff"}},
		"objects in an object":      {"realm.roles.name", "realm", map[string]any{"roles": objects}, []string{"dev", "ops", "staff"}},
		"a path to a list":          {"realm.roles", "realm", map[string]any{"roles": []any{"staff"}}, []string{"staff"}},
		"a path that leads nowhere": {"roles.label", "roles", objects, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t, func(cfg *oidc.Config) { cfg.Claims.Groups = c.path })
			w.idp.SetClaim(c.claim, c.value)
			b := w.browser()
			b.viaProvider("").wantRedirect(t, "/")
			if got := b.who().User.Groups; !slices.Equal(got, c.groups) && len(got)+len(c.groups) > 0 {
				t.Errorf("the groups are %q, want %q", got, c.groups)
			}
		})
	}
	t.Run("the warning has an example", func(t *testing.T) {
		t.Parallel()
		w := newOIDCWorld(t)
		w.idp.SetClaim("groups", []any{map[string]any{"name": "staff"}, " padded"})
		w.browser().viaProvider("").wantRedirect(t, "/")
		var all strings.Builder
		for _, e := range w.logs.FilterMessageSnippet("ignored a claim value").All() {
			all.WriteString(e.ContextMap()["example"].(string))
		}
		if !strings.Contains(all.String(), `staff`) || !strings.Contains(all.String(), ` padded`) {
			t.Errorf("the examples are %s", all.String())
		}
	})
}
