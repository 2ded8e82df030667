package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// phone is an authenticator app: oathtool, which knows nothing of our code.
type phone struct {
	secret string
	step   int64 // of the last code
}

// code returns a code that was not used yet. It is at most one step ahead, which is accepted.
func (a *phone) code(t *testing.T) string {
	t.Helper()
	a.step = max(a.step+1, time.Now().Unix()/30)
	out, err := exec.CommandContext(t.Context(), "oathtool", "--totp", "--base32",
		"--now", "@"+strconv.FormatInt(a.step*30, 10), a.secret).CombinedOutput()
	if err != nil {
		t.Fatalf("oathtool (make prepare installs it): %v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// scan reads the QR code in a picture of the page, as a phone does.
func scan(t *testing.T, p *browser.Page) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "page.png")
	if err := os.WriteFile(file, p.Picture(), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "zbarimg", "--quiet", "--raw", file).Output()
	if err != nil {
		t.Fatalf("zbarimg (make prepare installs it): %v", err)
	}
	return strings.TrimSpace(string(out))
}

// setUp sets an authenticator app up on the account page and returns it with the recovery codes.
func setUp(t *testing.T, p *browser.Page, g *gate.Gate) (*phone, []string) {
	t.Helper()
	p.Go(g.URL + "/_auth/account")
	p.Find("link", "Second factors").Follow()
	p.Find("button", "Set up an authenticator app").Follow()
	address := p.Find("link", "Open it in an app.*").Attr("href")
	_, query, _ := strings.Cut(address, "secret=")
	a := &phone{secret: query}
	p.Find("textbox", "Code").Fill(a.code(t))
	p.Find("textbox", "Name.*").Fill("Phone")
	p.Find("button", "Confirm").Follow()
	return a, codesOn(t, p)
}

func codesOn(t *testing.T, p *browser.Page) []string {
	t.Helper()
	if !p.Has("heading", "Recovery codes") {
		t.Fatalf("no recovery codes: %s", p.Text())
	}
	var codes []string
	p.Eval(`[...document.querySelectorAll("main ol li")].map(e => e.textContent)`, &codes)
	if len(codes) != 10 {
		t.Fatalf("%d recovery codes: %s", len(codes), p.Text())
	}
	return codes
}

func signOut(p *browser.Page, g *gate.Gate) {
	p.Go(g.URL + "/_auth/logout")
	p.Find("button", "Sign out").Follow()
}

// A person adds an app, signs in with its code and with a recovery code, and proves it again where a place asks for
// that: with and without scripts.
func TestSecondFactorsFromSetUpToStepUp(t *testing.T) {
	t.Parallel()
	for _, v := range []browser.View{{}, {NoScript: true}} {
		g := start(t, gate.Options{Site: "require fresh 15m mfa"})
		addUser(t, g, "ada", "a password of ada")
		p := open(t, g, v)
		signInAs(t, p, g, "ada", "a password of ada")
		a, codes := setUp(t, p, g)
		if p.Has("button", "Print") == v.NoScript || p.Has("button", "Copy") == v.NoScript {
			t.Errorf("%s: buttons to copy and print: %v", v, !v.NoScript)
		}
		p.Find("checkbox", "I have saved these codes").Click()
		p.Find("button", "Confirm").Follow()
		if !p.Has("heading", "Second factors") || !strings.Contains(p.Text(), "Phone") {
			t.Fatalf("%s: after the codes: %s", v, p.Text())
		}
		signOut(p, g)
		p.Go(g.URL + "/reports")
		submitSignIn(p, "ada", "a password of ada")
		if f := p.Focused(); !p.Has("heading", "Enter your code") || f == nil || f.Name != "Code" {
			t.Fatalf("%s: the second step: %s", v, p.Text())
		}
		p.Find("link", "Use a recovery code").Follow()
		p.Find("textbox", "Recovery code").Fill(strings.ToLower(codes[2]))
		p.Find("button", "Sign in").Follow()
		// A recovery code is no recent second factor: the place asks for one.
		if p.Status() != 200 || !p.Has("heading", "Confirm that it is you") || p.Has("textbox", "Password") {
			t.Fatalf("%s: after a recovery code: %s %s", v, p.Path(), p.Text())
		}
		p.Find("textbox", "Code").Fill("000000")
		p.Find("button", "Confirm").Follow()
		if f := p.Focused(); p.Status() != 401 || f == nil || f.Name != "Code" {
			t.Errorf("%s: after a wrong code: %d %s", v, p.Status(), p.Text())
		}
		p.Find("textbox", "Code").Fill(a.code(t))
		p.Find("button", "Confirm").Follow()
		if p.Path() != "/reports" || !strings.Contains(p.Text(), "as ada") {
			t.Fatalf("%s: after the code: %s %s", v, p.Path(), p.Text())
		}
		p.Go(g.URL + "/_auth/account")
		if text := p.Text(); !strings.Contains(text, "What happened to your sign-in") || !strings.Contains(text, "1 wrong code") {
			t.Errorf("%s: the account page says %s", v, text)
		}
		p.Find("button", "I have seen this").Follow()
		if strings.Contains(p.Text(), "What happened to your sign-in") {
			t.Errorf("%s: told again", v)
		}
	}
}

// Where the site demands it, the sign-in goes through setting up an app, and leads on.
func TestASignInSetsUpWhatTheSiteDemands(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{Global: "mfa required {\ngrace 0\n}"})
	addUser(t, g, "ada", "a password of ada")
	p := open(t, g, browser.View{NoScript: true})
	p.Go(g.URL + "/reports")
	submitSignIn(p, "ada", "a password of ada")
	p.Find("button", "Set up an authenticator app").Follow()
	address := p.Find("link", "Open it in an app.*").Attr("href")
	_, secret, _ := strings.Cut(address, "secret=")
	p.Find("textbox", "Code").Fill((&phone{secret: secret}).code(t))
	p.Find("button", "Confirm").Follow()
	codesOn(t, p)
	p.Find("link", "Continue").Follow()
	if p.Path() != "/reports" || !strings.Contains(p.Text(), "as ada") {
		t.Errorf("after the codes: %s %s", p.Path(), p.Text())
	}
}

// A camera reads from the screen what the link says, in both color schemes and on a small screen, whatever the names are.
func TestTheQRCodeIsReadFromTheScreen(t *testing.T) {
	t.Parallel()
	g := start(t, gate.Options{Global: `brand {
		title "Köln & Co: 100% / ok?"
	}`})
	addUser(t, g, "zoë o'neill+x", "a password of zoe")
	for _, v := range []browser.View{{}, {Dark: true}, {Width: 320, Height: 900, Dark: true, Scale: 2}} {
		p := open(t, g, v)
		signInAs(t, p, g, "zoë o'neill+x", "a password of zoe")
		p.Go(g.URL + "/_auth/account/two-factor")
		p.Find("button", "Set up an authenticator app").Follow()
		address := p.Find("link", "Open it in an app.*").Attr("href")
		if got := scan(t, p); got != address || !strings.HasPrefix(got, "otpauth://totp/K%C3%B6ln%20&%20Co%20100%25%20%2F%20ok%3F:") {
			t.Errorf("%s: the picture says %q, the link %q", v, got, address)
		}
	}
}
