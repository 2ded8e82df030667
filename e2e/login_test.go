package e2e

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// A link opened without a session leads to its target after the sign-in, with and without scripts, and by keyboard
// only.
func TestSignInReturnsToTheRequestedURL(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{})
	for _, v := range []browser.View{{}, {NoScript: true}, {Width: 320, Phone: true, Dark: true}} {
		p := open(t, g, v)
		p.Go(g.URL + "/reports/7?page=2&q=a%20b")
		if h := p.Find("heading", "Sign in to .*"); h.Level != 1 {
			t.Errorf("%s: the heading has level %d", v, h.Level)
		}
		if !strings.HasPrefix(p.Path(), "/_auth/login?rt=") {
			t.Errorf("%s: the sign-in page is at %s", v, p.Path())
		}
		// The username field has the focus; Tab moves to the password, Enter submits.
		p.Find("textbox", "Username or e-mail").Fill(gate.Admin)
		p.Press("\t")
		if f := p.Focused(); f == nil || f.Name != "Password" {
			t.Fatalf("%s: Tab leads to %+v", v, f)
		}
		p.Find("textbox", "Password").Fill(gate.AdminPassword)
		p.Loads(func() { p.Press("\r") })
		if want := "app: GET /reports/7?page=2&q=a%20b as admin"; p.Path() != "/reports/7?page=2&q=a%20b" ||
			p.Text() != want {
			t.Errorf("%s: it ends at %s with %q", v, p.Path(), p.Text())
		}
	}
}

// The fragment of a URL never reaches the server; with scripts it is preserved.
func TestSignInKeepsTheFragment(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{})
	p := open(t, g, browser.View{})
	p.Go(g.URL + "/book#chapter-3")
	submitSignIn(p, gate.Admin, gate.AdminPassword)
	if p.URL() != g.URL+"/book#chapter-3" {
		t.Errorf("it ends at %s", p.URL())
	}
}

// Password managers recognize the fields, and pasting is possible (WCAG 2.2, 3.3.8).
func TestSignInFieldsSupportPasswordManagers(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{})
	p := open(t, g, browser.View{})
	p.Go(g.URL + "/_auth/login")
	for name, want := range map[string]string{"Username or e-mail": "username webauthn", "Password": "current-password"} {
		field := p.Find("textbox", name)
		if got := field.Attr("autocomplete"); got != want {
			t.Errorf("%s has autocomplete %q, not %q", name, got, want)
		}
		var canceled bool
		field.Eval(`function() {
			const e = new ClipboardEvent("paste", {bubbles: true, cancelable: true, clipboardData: new DataTransfer()});
			return !this.dispatchEvent(e) }`, &canceled)
		if canceled {
			t.Errorf("%s refuses to be pasted into", name)
		}
		for _, attribute := range []string{"maxlength", "minlength", "onpaste", "pattern"} {
			if v := field.Attr(attribute); v != "" {
				t.Errorf("%s has %s=%q", name, attribute, v)
			}
		}
	}
	if f := p.Focused(); f == nil || f.Name != "Username or e-mail" {
		t.Errorf("the focus is on %+v", f)
	}
}

// After a wrong password the username is preserved, the password is not, and the focused field has the error.
func TestWrongPasswordIsShownAtTheField(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{})
	for _, v := range []browser.View{{}, {NoScript: true}} {
		p := open(t, g, v)
		p.Go(g.URL + "/wanted")
		submitSignIn(p, gate.Admin, "a wrong password canary")
		if p.Status() != http.StatusUnauthorized || !strings.HasPrefix(p.Title(), "Error:") {
			t.Errorf("%s: status %d, title %q", v, p.Status(), p.Title())
		}
		if got := p.Find("textbox", "Username or e-mail").Value(); got != gate.Admin {
			t.Errorf("%s: the name is %q now", v, got)
		}
		if got := p.Find("textbox", "Password").Value(); got != "" {
			t.Errorf("%s: the password is still there", v)
		}
		if strings.Contains(p.Source(), "canary") || strings.Contains(p.HTML(), "canary") {
			t.Errorf("%s: the password is in the page", v)
		}
		f := p.Focused()
		if f == nil || f.Name != "Password" || !strings.Contains(f.Description, "incorrect") {
			t.Errorf("%s: the focus is on %+v", v, f)
		}
		// The return URL is preserved.
		submitSignIn(p, gate.Admin, gate.AdminPassword)
		if p.Path() != "/wanted" {
			t.Errorf("%s: it ends at %s", v, p.Path())
		}
	}
}

// User enumeration: the response to a sign-in does not show whether a username exists, neither by text, status and
// headers nor by time.
func TestUnknownAndWrongLookTheSame(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{Global: "throttle {\nfree 100\nclient 1000/1s\n}"})
	addUser(t, g, "turned-off", "a password of somebody")
	if _, err := g.Gatehouse(t.Context(), "", "user", "disable", "turned-off"); err != nil {
		t.Fatal(err)
	}
	// Names of the same length: only the name itself may differ.
	names := []string{gate.Admin, "nobod", "turned-off", "turned-ofx"}
	times := make(map[string][]time.Duration)
	var first string
	for range 21 {
		for _, name := range names {
			begin := time.Now()
			a := must[gate.Response](t)(g.SignIn(g.Client(), name, "not the password"))
			times[name] = append(times[name], time.Since(begin))
			if a.Status != http.StatusUnauthorized {
				t.Fatalf("%s: status %d", name, a.Status)
			}
			if got := normalize(a, name); first == "" {
				first = got
			} else if got != first {
				t.Fatalf("%s is answered differently:\n%s\nand\n%s", name, first, got)
			}
		}
	}
	known, unknown := undisturbed(times[names[0]]), undisturbed(times[names[1]])
	if ratio := float64(known) / float64(unknown); ratio < 0.6 || ratio > 1.7 {
		t.Errorf("a known name takes %s, an unknown one %s", known, unknown)
	}
}

var changing = regexp.MustCompile(`nonce[-=]"?'?[A-Za-z0-9_+/=-]{16,}"?'?`)

// normalize returns a response without what differs by design: the nonce, the date, the entered username, and the
// resulting length.
func normalize(a gate.Response, name string) string {
	var lines []string
	for key, values := range a.Header {
		if key != "Date" && key != "Content-Length" {
			lines = append(lines, key+": "+strings.Join(values, ", "))
		}
	}
	slices.Sort(lines)
	return changing.ReplaceAllString(strings.ReplaceAll(strings.Join(lines, "\n")+"\n"+a.Body, name, "NAME"), "NONCE")
}

// undisturbed returns the lower quartile: what else the machine does makes requests slower, never faster.
func undisturbed(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/4]
}

// The password can be shown, and is a password field again before it is submitted.
func TestShowPassword(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{})
	p := open(t, g, browser.View{})
	p.Go(g.URL + "/_auth/login")
	field := p.Find("textbox", "Password")
	field.Fill("half a password")
	field.Eval("function() { this.setSelectionRange(4, 4) }", nil)
	p.Find("button", "Show password").Click()
	if field.Attr("type") != "text" {
		t.Errorf("the password is of type %q", field.Attr("type"))
	}
	p.Find("button", "Hide password")
	var caret int
	field.Eval("function() { return this.selectionStart }", &caret)
	if caret != 4 {
		t.Errorf("the caret went to %d", caret)
	}
	p.Eval(`document.forms[0].addEventListener("submit", e => { window.sentAs = document.getElementById("password").type; e.preventDefault() })`, nil)
	p.Find("textbox", "Username or e-mail").Fill(gate.Admin)
	p.Find("button", "Sign in").Click()
	var sent string
	p.Eval("window.sentAs", &sent)
	if sent != "password" {
		t.Errorf("it is sent as %q, so browsers keep it among other texts", sent)
	}

	plain := open(t, g, browser.View{NoScript: true})
	plain.Go(g.URL + "/_auth/login")
	if plain.Has("button", "Show password") {
		t.Error("without scripts there is a button that does nothing")
	}
}

// After too many wrong passwords the page says when to try again, also for the right password. Other users and the
// owner's known browser are not blocked.
func TestThrottleSaysWhenToTryAgain(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{Global: "throttle {\nfree 1\nclient 1000/1s\n}"})
	addUser(t, g, "other", "a password of somebody")
	owner := g.Client()
	if a := must[gate.Response](t)(g.SignIn(owner, gate.Admin, gate.AdminPassword)); a.Status != http.StatusSeeOther {
		t.Fatalf("the owner's first sign-in: %d", a.Status)
	}
	// Each wrong password doubles the wait. Three are enough for a wait that does not elapse on a slow machine.
	wait := 0
	for deadline := time.Now().Add(time.Minute); wait < 4 && time.Now().Before(deadline); {
		a := must[gate.Response](t)(g.SignIn(g.Client(), gate.Admin, "not the password"))
		if a.Status == http.StatusTooManyRequests {
			wait, _ = strconv.Atoi(a.Header.Get("Retry-After"))
			if wait < 1 {
				t.Fatalf("Retry-After is %q", a.Header.Get("Retry-After"))
			}
			if wait < 4 {
				time.Sleep(100 * time.Millisecond) // waits: until the store lets the next one count
			}
		}
	}
	p := open(t, g, browser.View{})
	p.Go(g.URL + "/_auth/login")
	submitSignIn(p, gate.Admin, gate.AdminPassword)
	if p.Status() != http.StatusTooManyRequests || !p.Has("heading", "Sign in to .*") ||
		!strings.Contains(p.Text(), "Too many attempts. Try again in") {
		t.Errorf("the right password during the wait: %d %s", p.Status(), p.Text())
	}
	var when string
	p.Eval(`document.querySelector("main time").dateTime`, &when)
	if until, err := time.Parse(time.RFC3339, when); err != nil || time.Until(until) > 20*time.Second {
		t.Errorf("the page says to come back at %q", when)
	}
	if a := must[gate.Response](t)(g.SignIn(g.Client(), "other",
		"a password of somebody")); a.Status != http.StatusSeeOther {
		t.Errorf("somebody else's sign-in: %d", a.Status)
	}
	if a := must[gate.Response](t)(g.SignIn(owner, gate.Admin, gate.AdminPassword)); a.Status != http.StatusSeeOther {
		t.Errorf("the owner, from the browser of before: %d", a.Status)
	}
}

// By keyboard only: all elements are reached in visual order with a visible focus.
func TestSignInByKeyboard(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{Global: "brand {\nsupport mailto:help@example.com\n}"})
	for _, v := range []browser.View{{}, {Dark: true}, {Forced: true}} {
		p := open(t, g, v)
		p.Go(g.URL + "/_auth/login")
		p.PressShift("\t") // from the username field, which has the focus
		var order []string
		for range 12 {
			if len(order) > 0 {
				p.Press("\t")
			}
			f := p.Focused()
			if f == nil {
				break
			}
			order = append(order, f.Name)
			var ring struct {
				Style   string
				Width   float64
				Visible bool
			}
			f.Eval(`function() {
				const s = getComputedStyle(this), r = this.getBoundingClientRect();
				return {style: s.outlineStyle, width: parseFloat(s.outlineWidth),
					visible: r.top >= 0 && r.bottom <= innerHeight && r.left >= 0 && r.right <= innerWidth} }`, &ring)
			if ring.Style == "none" || ring.Width < 2 || !ring.Visible {
				t.Errorf("%s: the focus on %q cannot be seen: %+v", v, f.Name, ring)
			}
		}
		want := []string{
			"Skip to content", "Username or e-mail", "Password", "Show password",
			"Keep me signed in on this device for 30 days", "Sign in", "Sign in with a passkey",
			"Forgotten your password?", "Deutsch", "English", "Español", "Help: help@example.com",
		}
		if !slices.Equal(order, want) {
			t.Errorf("%s: Tab goes through %q", v, order)
		}
	}
}

// Open redirects: whatever the return URL, the browser stays on the site. The whole corpus is tested on the server;
// this tests how a browser interprets the responses.
func TestReturnURLStaysOnTheSite(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{})
	p := open(t, g, browser.View{})
	for _, rt := range []string{
		"//evil.test/", `/\evil.test/`, `\\evil.test\`, "https:evil.test", "https://evil.test/", "javascript:alert(1)", "/%0d%0aLocation:%20//evil.test",
		"https://localhost@evil.test/", "http://localhost:1/", "/\t/evil.test", "/%09/evil.test", "///evil.test", "data:text/html,x", "/_auth/logout",
	} {
		p.Go(g.URL + "/_auth/login?switch=1&rt=" + url.QueryEscape(rt))
		submitSignIn(p, gate.Admin, gate.AdminPassword)
		if p.URL() != g.URL+"/" {
			t.Errorf("%q leads to %s", rt, p.URL())
		}
	}
}

// A signed-in user who opens the sign-in page gets a notice, and no redirect loop.
func TestSignInPageForASignedInUser(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{})
	p := open(t, g, browser.View{})
	signIn(t, p, g)
	p.Forget()
	p.Go(g.URL + "/_auth/login?rt=%2Fwanted")
	if !strings.Contains(p.Text(), "You are signed in as admin.") {
		t.Errorf("the page says %s", p.Text())
	}
	if n := len(p.Requests()); n > 4 {
		t.Errorf("it took %d requests", n)
	}
	p.Find("link", "Continue").Follow()
	if p.Path() != "/wanted" {
		t.Errorf("Continue leads to %s", p.Path())
	}
}

// An open sign-in page detects a sign-in in another tab.
func TestOpenSignInPageOffersToContinue(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{})
	left := open(t, g, browser.View{})
	left.Go(g.URL + "/first")
	other := guard(t, left.Tab())
	other.Go(g.URL + "/second")
	submitSignIn(other, gate.Admin, gate.AdminPassword)
	left.Until("the offer to go on", func() bool { return left.Has("link", "Continue") })
	left.Find("link", "Continue").Follow()
	if left.Path() != "/first" {
		t.Errorf("Continue leads to %s", left.Path())
	}
}
