package web_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/testenv/redirects"
)

func TestReturnToCorpusThroughTheForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, l := range redirects.Corpus(t) {
		b := w.browser()
		page := b.get("/login?"+url.Values{"rt": {l.Raw}}.Encode()).want(t, 200)
		if got := strings.Contains(page.body, `name="rt"`); got != l.Allow {
			t.Errorf("%q: carried by the page: %v", l.Raw, got)
		}
		a := b.post("/login", "username", "ada", "password", adaPass, "rt", l.Raw)
		if a.StatusCode != 303 || len(a.Header["Location"]) != 1 {
			t.Fatalf("%q: status %d, Location %q", l.Raw, a.StatusCode, a.Header["Location"])
		}
		if !l.Allow && a.location() != "/" {
			t.Errorf("%q: Location %q, want the default page", l.Raw, a.location())
		}
		redirects.CheckLocation(t, a.location())
		for name := range a.Header {
			switch name {
			case "Location", "Set-Cookie", "Content-Length", "Cache-Control", "Content-Security-Policy", "X-Content-Type-Options", "X-Frame-Options",
				"Referrer-Policy", "Permissions-Policy", "Cross-Origin-Resource-Policy", "X-Robots-Tag", "Cross-Origin-Opener-Policy", "Vary":
			default:
				t.Errorf("%q: unexpected header %s", l.Raw, name)
			}
		}
	}
}

// Two values are none. Which of them was checked must not be a question.
func TestReturnToGivenTwiceIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, q := range []string{"rt=/good&rt=//evil.example", "rt=//evil.example&rt=/good", "rt=/a&rt=/b"} {
		a := w.browser().get("/login?"+q).want(t, 200)
		if strings.Contains(a.body, `name="rt"`) {
			t.Errorf("%s: a return-to is carried", q)
		}
	}
	w.browser().post("/login?rt=/query", "username", "ada", "password", adaPass, "rt", "/body").wantRedirect(t, "/")
	w.browser().post("/login", "username", "ada", "password", adaPass, "rt", "/a", "rt", "/b").want(t, 400)
}
