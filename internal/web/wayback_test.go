package web_test

import (
	"html"
	"maps"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
)

// asked has the gate ask a browser to sign in that asked the app for an address, and returns the value of "back".
func (b *browser) asked(target string) string {
	b.w.T.Helper()
	r := httptest.NewRequest("GET", target, nil)
	r.Host = host
	for name, value := range b.cookies {
		r.Header.Add("Cookie", name+"="+value)
	}
	q := &reqctx.Request{Secure: true, Host: host, Prefix: prefix}
	rec := httptest.NewRecorder()
	address := b.w.gate.SealedLoginURL(rec, reqctx.With(r, q), r.URL)
	b.read(rec)
	u, err := url.Parse(address)
	if err != nil || u.Path != prefix+"/login" {
		b.w.T.Fatalf("%q: %q, %v", target, address, err)
	}
	return u.Query().Get("back")
}

var backField = regexp.MustCompile(`name="back" value="([^"]*)"`)

// Addresses that no stranger may have a sign-in lead to are the app's own all the same.
func TestASignInReturnsToOddAddressesOfTheApp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, target := range []string{
		"/graph?g0.expr=sum(%0Arate(x[5m]))", `/open?path=C:\Users\ada`, "/web/2020/https://example.com/page", "/wiki//Main_Page", "/api/queues/%2F/orders",
		"/search/%22exact%22", "//evil.example/", "/caf%C3%A9/%E2%80%A8", "/x?q=<b>&r=\"", "/%25252525", "/..;/x", "/%5c%5cevil.example",
	} {
		b := w.browser()
		back := b.asked(target)
		page := b.get("/login?back="+back).want(t, 200)
		found := backField.FindStringSubmatch(page.body)
		if back == "" || found == nil {
			t.Errorf("%q is not carried: %q", target, back)
			continue
		}
		a := b.post("/login", "username", "ada", "password", "wrong", "back", html.UnescapeString(found[1])).want(t, 401)
		if found = backField.FindStringSubmatch(a.body); found == nil {
			t.Errorf("%q is lost after a wrong password", target)
			continue
		}
		a = b.post("/login", "username", "ada", "password", adaPass, "back", html.UnescapeString(found[1]))
		if a.StatusCode != 303 || a.location() != origin+target {
			t.Errorf("%q: %d to %q", target, a.StatusCode, a.location())
		}
		signedIn := b.get("/login?back="+back).want(t, 200)
		if !strings.Contains(signedIn.body, `href="`+origin+"/") || strings.Contains(signedIn.body, `href="//`) {
			t.Errorf("%q: somebody who is signed in is led elsewhere:\n%s", target, signedIn.body)
		}
	}
}

// The part after '#' is added by a script of ours, and by nobody else's to another place.
func TestASealedReturnKeepsTheFragment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for fragment, want := range map[string]string{"#top": "#top", "#//evil.example": "#//evil.example", "#a\r\nb": "", "#\"": "", "#": ""} {
		b := w.browser()
		a := b.post("/login", "username", "ada", "password", adaPass, "back", b.asked("/wiki//Main")+fragment)
		if a.location() != origin+"/wiki//Main"+want {
			t.Errorf("%q leads to %q", fragment, a.location())
		}
	}
}

// A stranger can have any address sealed, by asking for it.
func TestASealedReturnCountsInItsBrowserOnItsHostForAnHour(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lead := func(b *browser, on string, fields ...string) string {
		r := request("POST", "/login", "application/x-www-form-urlencoded", form("username", "ada", "password", adaPass)+"&"+form(fields...))
		r.Host = on
		return b.send(r).want(t, 303).location()
	}
	mine, theirs := w.browser(), w.browser()
	back := theirs.asked("//evil.example/")
	good := mine.asked("/wiki//Main")
	for name, got := range map[string]string{
		"in another browser":        lead(mine, host, "back", back),
		"in one without the cookie": lead(w.browser(), host, "back", back),
		"on another host":           lead(mine, "other."+host, "back", good),
		"changed":                   lead(mine, host, "back", good[:len(good)-2]+"AA"),
		"cut":                       lead(mine, host, "back", good[:20]),
		"not sealed":                lead(mine, host, "back", "/wiki//Main"),
		"beside a plain one":        lead(mine, host, "back", good, "rt", "/x"),
	} {
		if got != "/" {
			t.Errorf("%s: leads to %q", name, got)
		}
	}
	if got := lead(mine, host, "back", good); got != origin+"/wiki//Main" {
		t.Errorf("in its browser it leads to %q", got)
	}
	w.Clock.Advance(time.Hour + time.Second)
	if got := lead(mine, host, "back", good); got != "/" {
		t.Errorf("after an hour it leads to %q", got)
	}
}

func form(pairs ...string) string {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v.Encode()
}

// Nothing that is asked for leads back to a page of ours, where a visit can mean something.
func TestNoSealedReturnLeadsToOurPages(t *testing.T) {
	t.Parallel()
	b := newWorld(t).browser()
	for _, target := range []string{"/_auth/logout", "/%5fauth/logout", "/_AUTH//x", "/_auth;x/%0a", "/%255Fauth/x", "/x/../_auth/logout", "/x/%2e%2E/_auth/logout", "/x/.%2e/_auth/logout", "/./_auth", "/x?" + strings.Repeat("a", 8<<10)} {
		if back := b.asked(target); back != "" {
			t.Errorf("%q is sealed", target)
		}
	}
}

// The languages below the sign-in form, and what a wait offers, lead on as well.
func TestASealedReturnSurvivesTheLanguageSwitch(t *testing.T) {
	t.Parallel()
	b := newWorld(t).browser()
	back := b.asked("/wiki//Main")
	a := b.post("/language", "language", "de", "page", "login", "back", back)
	a.wantRedirect(t, "/_auth/login?"+url.Values{"back": {back}}.Encode())
}

// A browser that loads several tabs at once, as after a restart, has a cookie for none of them.
func TestTabsThatAreLoadedAtOnceComeBackToTheirOwnPlaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	targets := []string{"/wiki//Main", "/wiki//Other", "/x?a=%0A"}
	backs := map[string]string{}
	for _, target := range targets {
		tab := w.browser()
		backs[target] = tab.asked(target)
		maps.Copy(b.cookies, tab.cookies)
	}
	for _, target := range targets {
		b.post("/login", "username", "ada", "password", adaPass, "back", backs[target]).wantRedirect(t, origin+target)
	}
	had := len(b.cookies)
	if b.asked("/wiki//Later"); len(b.cookies) != had {
		t.Errorf("what is asked for later has a cookie of its own: %q", slices.Sorted(maps.Keys(b.cookies)))
	}
}

// Whoever has to prove once more who they are goes on to where they were going, whatever the address.
func TestAStepUpReturnsToOddAddressesOfTheApp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, target := range []string{"/wiki//Main_Page", "/api/queues/%2F/orders", "/graph?q=%0A", "//evil.example/"} {
		b := w.browser()
		back := b.asked(target)
		b.get("/reauth?back="+back).wantRedirect(t, "/_auth/login?back="+back)
		b.signIn("ada", adaPass)
		for name, page := range map[string]answer{
			"at first":               b.get("/reauth?back="+back).want(t, 200),
			"after a wrong password": b.post("/reauth", "password", "wrong", "back", back).want(t, 401),
		} {
			if found := backField.FindStringSubmatch(page.body); found == nil || html.UnescapeString(found[1]) != back {
				t.Errorf("%q is not carried %s\n%s", target, name, page.body)
			}
		}
		b.post("/reauth", "password", adaPass, "back", back).wantRedirect(t, origin+target)
		b.post("/reauth", "password", adaPass, "back", back, "rt", "/_auth/account/sessions").wantRedirect(t, "/_auth/account")
		other := w.browser().signIn("ada", adaPass)
		other.post("/reauth", "password", adaPass, "back", back).wantRedirect(t, "/_auth/account")
	}
}
