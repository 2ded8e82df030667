package reqctx_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
)

const token = "c4naryAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA_-"

// What can be shown is shown as it came; the log of a site without secrets changes by nothing.
func TestAddressesWithoutSecretsAreLoggedAsTheyCame(t *testing.T) {
	t.Parallel()
	for _, target := range []string{
		"/", "*", "", "app.test:443", "/x?code=1&state=2", "/callback?code=abc", "/link/" + token, "/_authx/link/" + token, "/x/_auth/link/" + token,
		"/_auth", "/_auth/", "/_auth/login", "/_auth/login?rt=%2Fdeep%3Fx%3D1", "/_auth/account/profile?forged", "/_auth//account", "/_auth/assets/app.0123456789abcdef.css",
		"/_auth/admin/users/01hzzzzzzzzzzzzzzzzzzzzzzz?page=2&q=ada", "/_auth/link", "/_auth/link/", "/_auth/oidc/keycloak/callback", "/_auth/oidc/keycloak/callback?",
		"http://app.test/_auth/account?x=1", "http://app.test", "/_auth/login?rt=", "/%2e%2e/x", "/caf%C3%A9?x=" + token,
	} {
		if got := reqctx.Loggable(target, "/_auth"); got != target {
			t.Errorf("%q is logged as %q", target, got)
		}
	}
}

// spellings are ways to write a path that some readers take for the plain one.
func spellings(path string) []string {
	var list []string
	add := func(s string) { list = append(list, s) }
	add(path)
	add("/" + path)
	add("//" + path)
	add(strings.ToUpper(path[:len(path)-len(token)]) + token)
	add(strings.ReplaceAll(path, "/", "//"))
	add(strings.ReplaceAll(path, "/", "/./"))
	add("/x/.." + path)
	add("/x/..;" + path)
	add("/%2e" + path)
	add("/x/%2E%2e" + path)
	add("/x%2f..%2f.." + path)
	add(strings.ReplaceAll(path, "/", `\`))
	add("/" + strings.ReplaceAll(path[1:], "/", `\`))
	add("/" + strings.ReplaceAll(path[1:], "/", "%2f"))
	add("/" + strings.ReplaceAll(path[1:], "/", "%252F"))
	add("/" + strings.ReplaceAll(path[1:], "/", "%5c"))
	add(strings.Replace(path, "link", "%6cink", 1))
	add(strings.Replace(path, "link", "%256Cink", 1))
	add(strings.Replace(path, "link", "link;x=1", 1))
	add(strings.Replace(path, "link", "link.", 1))
	add(strings.Replace(path, "link", "link%20", 1))
	add(strings.Replace(path, "link", "ｌink", 1))
	add(strings.Replace(path, "_auth", "%5fauth", 1))
	add(strings.Replace(path, "_auth", "_%61uth", 1))
	add(strings.Replace(path, "_auth", "_auth;y", 1))
	add(strings.Replace(path, "_auth", "_auth/", 1))
	add(strings.Replace(path, "link", "x/../link", 1))
	add(strings.Replace(path, "link", "nothing", 1)) // no page of ours, but a token
	for _, junk := range []string{"/", ".", ",", ")", "%20", "%00", "?x", "?", "#x", ";x", "/../../x", "junk", "%0a", `"`, "'", "&x=1", "=", "/x?y=z"} {
		add(path + junk)
	}
	for _, origin := range []string{"http://app.test", "HTTPS://app.test:443", "http://u@app.test"} {
		add(origin + path)
		add(origin + "/" + path)
	}
	for _, at := range []string{"/_auth/login?rt=", "/_auth/login?x&to=", "/_auth/nothing?", "/_auth/logout?a=b;c="} {
		add(at + path)
		add(at + url.QueryEscape(path))
		add(at + url.QueryEscape(url.QueryEscape(path)))
		add(at + url.QueryEscape("https://app.test"+path))
	}
	return list
}

// A one-time token is in no log, in whatever way its address is spelled; nor is most of one.
func TestATokenIsNeverLoggedHoweverItsAddressIsSpelled(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"/_auth", "/Gate/x"} {
		for _, s := range spellings("/_auth/link/" + token) {
			s = strings.NewReplacer("/_auth", prefix, "_AUTH", strings.ToUpper(prefix[1:])).Replace(s)
			got := reqctx.Loggable(s, prefix)
			if strings.Contains(s, prefix) && strings.Contains(got, "c4nary") {
				t.Errorf("%q is logged as %q", s, got)
			}
			if again := reqctx.Loggable(got, prefix); again != got {
				t.Errorf("%q is logged as %q, and that as %q", s, got, again)
			}
		}
	}
	for _, s := range spellings("/_auth/link/" + token) {
		if got := reqctx.Loggable(s, "/_auth"); strings.Contains(got, "c4nary") {
			t.Errorf("%q is logged as %q", s, got)
		}
	}
	for _, cut := range []string{token[:42], token[:20], "c4nary"} {
		if got := reqctx.Loggable("/_auth/link/"+cut, "/_auth"); got != "/_auth/link/REDACTED" {
			t.Errorf("part of a token is logged: %q", got)
		}
	}
}

// What a provider sends a browser with, and what we send one to a provider with, is in no log.
func TestCodesAndStatesAreNeverLogged(t *testing.T) {
	t.Parallel()
	for _, target := range []string{
		"/_auth/oidc/kc/callback?code=c4nary&state=c4nary", "/_auth/oidc/kc/callback/?code=c4nary", "/_auth/oidc/kc//callback?code=c4nary", "/_auth/oidc/kc/callback?c4nary",
		"/_auth/oidc/kc/CALLBACK?code=c4nary", "/_auth/oidc/kc/%63allback?code=c4nary", "/_auth//oidc/kc/callback?x=c4nary", "//_auth/oidc/kc/callback?code=c4nary",
		"/_auth/oidc/kc/callback#c4nary", "/_auth/oidc/kc/nothing?code=c4nary&x=1", "/_auth/?CODE=c4nary", "/_auth/?%63ode=c4nary", "/_auth?id_token_hint=c4nary",
		"/_auth/oidc/kc/frontchannel?iss=https%3A%2F%2Fid&sid=c4nary", "/_auth/logout?logout_token=c4nary", "/_auth/oidc/kc/callback?error=x&error_description=c4nary",
		"/_auth/login?rt=%2Fcb%3Fcode%3Dc4nary", "/_auth/login?rt=%252Fcb%253Fcode%253Dc4nary", "http://app.test/_auth/oidc/kc/callback?code=c4nary", "/x/../_auth/oidc/kc/callback?code=c4nary",
	} {
		if got := reqctx.Loggable(target, "/_auth"); strings.Contains(got, "c4nary") {
			t.Errorf("%q is logged as %q", target, got)
		}
	}
}

func FuzzLoggable(f *testing.F) {
	for _, s := range spellings("/_auth/link/" + token) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		got := reqctx.Loggable(target, "/_auth")
		if again := reqctx.Loggable(got, "/_auth"); again != got {
			t.Errorf("%q is logged as %q, and that as %q", target, got, again)
		}
		if u, err := url.ParseRequestURI(target); err == nil && strings.HasPrefix(u.EscapedPath(), "/_auth/") && strings.Contains(u.Path, token) && strings.Contains(got, token) {
			t.Errorf("%q is logged as %q", target, got)
		}
	})
}
