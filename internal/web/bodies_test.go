package web_test

import (
	"strings"
	"testing"
)

// Anyone who asks to sign out is signed out, whatever a script sends along.
func TestSignOutTakesAnyBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	part := func(name, value string) string {
		return "--x\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n--x--\r\n"
	}
	for name, c := range map[string]struct {
		ct, body string
		all      bool
	}{
		"nothing":                {},
		"no type":                {body: "a=b"},
		"an empty form":          {ct: "application/x-www-form-urlencoded"},
		"JSON":                   {ct: "application/json", body: `{}`},
		"empty JSON":             {ct: "application/json"},
		"broken JSON":            {ct: "application/json; charset=utf-8", body: `{"a`},
		"a JSON list":            {ct: "application/json", body: `[1]`},
		"text":                   {ct: "text/plain;charset=UTF-8", body: `{"everywhere":true}`},
		"an empty FormData":      {ct: "multipart/form-data; boundary=x", body: "--x--\r\n"},
		"a FormData":             {ct: "multipart/form-data; boundary=x", body: part("a", "b")},
		"two types":              {ct: "x", body: "a"},
		"a form, everywhere":     {ct: "application/x-www-form-urlencoded", body: "everywhere=on", all: true},
		"a FormData, everywhere": {ct: "multipart/form-data; boundary=x", body: part("everywhere", "1"), all: true},
		"JSON, everywhere":       {ct: "application/json", body: `{"everywhere":true}`, all: true},
		"JSON, not everywhere":   {ct: "application/json", body: `{"everywhere":false,"provider":0,"x":[]}`},
	} {
		for _, chunked := range []bool{false, true} {
			b, other := w.browser().signIn("ada", adaPass), w.browser().signIn("ada", adaPass)
			r := request("POST", "/logout", c.ct, c.body)
			if chunked {
				r.ContentLength, r.TransferEncoding = -1, []string{"chunked"}
			}
			kept := b.token()
			b.send(r).wantRedirect(t, "/_auth/logged-out")
			b.cookies[b.tokenName()] = kept
			if b.signedIn() || other.signedIn() == c.all {
				t.Errorf("%s, chunked %t: signed in here %t, elsewhere %t", name, chunked, b.signedIn(), other.signedIn())
			}
		}
	}
	b := w.browser().signIn("ada", adaPass)
	evil := request("POST", "/logout", "multipart/form-data; boundary=x", part("a", "b"))
	evil.Header.Set("Sec-Fetch-Site", "same-site")
	b.send(evil).want(t, 403)
	if !b.signedIn() {
		t.Error("another site signed the person out")
	}
}

func TestSignInTakesAFormData(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	send := func(body string) answer {
		return w.browser().send(request("POST", "/login", "multipart/form-data; boundary=x", body))
	}
	field := func(name, value string) string {
		return "--x\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
	}
	good := field("username", "ada") + field("password", adaPass)
	send(good+field("rt", "/reports")+"--x--\r\n").wantRedirect(t, "/reports")
	send(field("username", "ada")+field("password", "wrong")+"--x--\r\n").want(t, 401)
	send(good+field("username", "root")+"--x--\r\n").want(t, 400)
	send(good).want(t, 400) // cut off
	send(good+"--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\nx\r\n--x--\r\n").want(t, 400)
	send(good+field("x", strings.Repeat("y", 64<<10))+"--x--\r\n").want(t, 413)
	w.browser().send(request("POST", "/login", "multipart/form-data", good+"--x--\r\n")).want(t, 400)
}

// Hundreds of sign-ins may be held at once, with forms as large as they may be: what is kept of each is small,
// and what is cut off makes no wrong password right.
func TestASignInKeepsLittleOfItsForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	long := strings.Repeat("x", 60<<10)
	w.browser().post("/login", "username", "ada"+long, "password", adaPass).want(t, 401)
	w.browser().post("/login", "username", "ada", "password", adaPass+long).want(t, 401)
	a := w.browser().post("/login", "username", long, "password", "x")
	a.want(t, 401)
	if len(a.body) > 32<<10 {
		t.Errorf("the page has %d bytes", len(a.body))
	}
	w.browser().post("/login", "username", "ada", "password", adaPass).want(t, 303)
}
