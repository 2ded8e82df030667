package web_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// navigation is a page load with what browsers say of where it comes from.
func navigation(path string, h http.Header) *http.Request {
	r := request("GET", path, "", "")
	for k, v := range h {
		r.Header[k] = v
	}
	return r
}

// foreignLoads are the ways in which a page of ours is loaded that no page of ours has set off.
var foreignLoads = map[string]http.Header{
	"cross-site":                  {"Sec-Fetch-Site": {"cross-site"}},
	"a sibling":                   {"Sec-Fetch-Site": {"same-site"}},
	"said twice":                  {"Sec-Fetch-Site": {"same-origin", "cross-site"}},
	"a word nobody knows":         {"Sec-Fetch-Site": {"SAME-ORIGIN"}},
	"typed, or a message":         {"Sec-Fetch-Site": {"none"}},
	"not said":                    {},
	"a foreign Referer":           {"Referer": {"https://evil.example/_auth/login"}},
	"a Referer that begins":       {"Referer": {origin + ".evil.example/"}},
	"a Referer with a name":       {"Referer": {"https://" + host + "@evil.example/"}},
	"another scheme":              {"Referer": {"http://" + host + "/"}},
	"another port":                {"Referer": {origin + ":8443/"}},
	"a broken Referer":            {"Referer": {"%zz"}},
	"own Referer, but cross-site": {"Sec-Fetch-Site": {"cross-site"}, "Referer": {origin + "/"}},
}

func TestAnotherSiteReplacesNobodysSession(t *testing.T) {
	t.Parallel()
	for name, h := range foreignLoads {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			b := w.browser().signIn("ada", adaPass)
			before := b.token()
			a := b.send(navigation("/oidc/test/start?remember=1&rt=%2Freports", h)).want(t, http.StatusOK, "Another site led you here", "ada", `value="/reports"`)
			if len(a.Cookies()) > 0 || w.idp.Calls("authorize") != 0 || b.token() != before || !b.signedIn() {
				t.Error("something has changed")
			}
			// The person may say so.
			b.callback(refresh(b.post("/oidc/test/start", "rt", "/reports").want(t, http.StatusOK, "You will sign in at Testify"))).wantRedirect(t, "/reports")
			if who := b.who(); who.User.Username != "ada-2" {
				t.Errorf("signed in as %+v", who)
			}
			// And another site may not say it for them.
			r := request("POST", "/oidc/test/start", "application/x-www-form-urlencoded", "remember=1")
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			b.send(r).want(t, http.StatusForbidden)
		})
	}
}

// While nobody is signed in, people may come from their provider's page; nobody but they say that they want to be remembered.
func TestAnotherSiteMayBeginASignInOfNobodyButNotForAMonth(t *testing.T) {
	t.Parallel()
	for name, h := range foreignLoads {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			b := w.browser()
			a := b.send(navigation("/oidc/test/start?remember=1", h)).want(t, http.StatusSeeOther)
			b.callback(a.location()).wantRedirect(t, "/")
			page := w.oneSession(t)
			if page.Remember {
				t.Error("the session is remembered")
			}
			// Begun by nobody's wish, it takes no place of a session that began meanwhile.
			c := w.browser()
			a = c.send(navigation("/oidc/test/start", h)).want(t, http.StatusSeeOther)
			c.signIn("ada", adaPass)
			c.callback(a.location()).want(t, http.StatusBadRequest)
			if who := c.who(); who.User.Username != "ada" {
				t.Errorf("signed in as %+v", who)
			}
		})
	}
	for name, h := range map[string]http.Header{"said": {"Sec-Fetch-Site": {"same-origin"}}, "by the Referer": {"Referer": {origin + prefix + "/login?rt=%2F"}}} {
		t.Run("a page of ours, "+name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t)
			b := w.browser()
			b.callback(b.send(navigation("/oidc/test/start?remember=1", h)).want(t, http.StatusSeeOther).location()).wantRedirect(t, "/")
			if !w.oneSession(t).Remember {
				t.Error("the session is not remembered")
			}
			b.callback(b.send(navigation("/oidc/test/start", h)).want(t, http.StatusSeeOther).location()).wantRedirect(t, "/")
		})
	}
}

// What a browser tells us that the provider has said is nothing that the provider has said.
func TestWhatABrowserMakesUpIsNoErrorOfTheProvider(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	for _, params := range []url.Values{
		{"error": {"our_database_is_gone"}, "error_description": {strings.Repeat("call 555-1234 ", 20)}},
		{"error": {"server_error"}},
		{"error": {"access_denied"}},
		{"code": {"x"}, "iss": {"https://evil.example"}},
		{"code": {"x"}, "error": {"both"}},
		{},
	} {
		b := w.browser()
		u, err := url.Parse(b.start(""))
		if err != nil {
			t.Fatal(err)
		}
		params.Set("state", u.Query().Get("state"))
		b.get("/oidc/test/callback?" + params.Encode())
		if s := w.oidc.Registry.Status()[0]; s.LastError != "" || !s.LastFailure.IsZero() {
			t.Errorf("%v stands as the provider's last error: %q", params, s.LastError)
		}
	}
	if n := w.idp.Calls("token"); n != 0 {
		t.Errorf("the token endpoint was asked %d times", n)
	}
	for _, e := range w.logs.All() {
		if text := fmt.Sprint(e.Message, e.ContextMap()); len(text) > 1000 {
			t.Errorf("%d bytes in the log", len(text))
		}
	}
}

// Each callback with a code asks the token endpoint with our credentials: one address does not do so at will.
func TestCallbacksHaveALimit(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	w.idp.SetFaults(tokenAnswer(http.StatusBadRequest, "application/json", `{"error":"invalid_grant"}`))
	refused := 0
	for range 200 {
		b := w.browser()
		a := b.callback(b.start(""))
		if a.StatusCode == http.StatusTooManyRequests {
			refused++
			if a.Header.Get("Retry-After") == "" {
				t.Fatal("no Retry-After")
			}
		}
	}
	if calls := w.idp.Calls("token"); calls > 100 || calls+refused != 200 {
		t.Errorf("%d calls and %d refusals of 200", calls, refused)
	}
	w.idp.ClearFaults()
	// Others are not held up, and nobody for ever. What was turned away may be tried again as it is.
	other := w.browser()
	other.ip = "198.51.100.1"
	other.viaProvider("").wantRedirect(t, "/")
	b := w.browser()
	address, _ := visit(t, b.start(""))
	b.get(address).want(t, http.StatusTooManyRequests)
	w.Clock.Advance(5 * time.Second)
	b.get(address).wantRedirect(t, "/")
	// Those that come to something do not count.
	for range 200 {
		c := w.browser()
		c.ip = "198.51.100.2"
		c.viaProvider("").wantRedirect(t, "/")
		w.Clock.Advance(startPause)
	}
}

// startPause lets the limit of starts pass: it is another one.
const startPause = 200 * time.Millisecond
