package web_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/store"
)

// changing returns every address and method that changes something, from the routes themselves.
func (w *world) changing() (list [][2]string) {
	for _, rt := range w.addresses() {
		for _, m := range rt.Methods {
			if m != http.MethodGet {
				list = append(list, [2]string{m, rt.Pattern})
			}
		}
	}
	return list
}

// Login CSRF and CSRF: a browser on another site, or on a sibling host, gets nowhere with any changing address.
func TestOtherSitesChangeNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	list := w.changing()
	if len(list) < 12 {
		t.Fatalf("only %d changing addresses: %v", len(list), list)
	}
	foreign := []http.Header{
		{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}},
		{"Sec-Fetch-Site": {"cross-site"}},
		{"Sec-Fetch-Site": {"same-site"}, "Origin": {"https://sibling.example.test"}},
		{"Sec-Fetch-Site": {"cross-site"}, "Origin": {origin}},
		{"Origin": {"https://evil.example"}},
		{"Origin": {"null"}},
		{"Origin": {"https://app.example.test.evil.example"}},
		{"Origin": {"https://app.example.test:8443"}},
	}
	b := w.browser().signIn("ada", adaPass)
	before := w.snapshot()
	for _, mp := range list {
		for _, h := range foreign {
			contentType, body := "application/x-www-form-urlencoded", "username=ada&password="+adaPass+"&name=Evil&theme=dark&current_password="+adaPass+"&new_password="+freshPass+"&everywhere=1"
			if strings.HasPrefix(mp[1], "/api/") {
				contentType, body = "application/json", `{"name":"Evil"}`
			}
			r := request(mp[0], address(mp[1]), contentType, body)
			for k, v := range h {
				r.Header[k] = v
			}
			a := b.send(r)
			if strings.HasPrefix(mp[1], "/api/") {
				a.wantProblem(t, 403, "cross-site")
			} else {
				a.want(t, 403, "another site")
			}
			if len(a.Cookies()) > 0 {
				t.Errorf("%v from %v sets a cookie", mp, h)
			}
		}
	}
	if after := w.snapshot(); after != before {
		t.Errorf("something changed: %s, was %s", after, before)
	}
}

// snapshot is what a changing request would change.
func (w *world) snapshot() string {
	w.T.Helper()
	u, err := w.Store.User(w.T.Context(), w.ada.ID)
	if err != nil {
		w.T.Fatal(err)
	}
	list, err := w.Store.Sessions(w.T.Context(), store.SessionQuery{Now: w.Clock.Now()})
	if err != nil {
		w.T.Fatal(err)
	}
	s := u.Name + u.PasswordHash + u.Username
	for _, row := range list.Items {
		s += row.ID
	}
	return s
}

// Our own forms pass: with Sec-Fetch-Site, with Origin alone (plain HTTP, where there is no Sec-Fetch-Site), and programs
// with neither.
func TestOwnFormsPass(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{true, false} {
		w := newWorld(t)
		w.insecure = !secure
		own := []http.Header{{}, {"Origin": {"http://" + host}}}
		if secure {
			own = []http.Header{{}, {"Origin": {origin}}, {"Sec-Fetch-Site": {"same-origin"}, "Origin": {origin}}, {"Sec-Fetch-Site": {"none"}}}
		}
		for _, h := range own {
			b := w.browser()
			for k, v := range h {
				b.header[k] = v
			}
			b.post("/login", "username", "ada", "password", adaPass).wantRedirect(t, "/")
			b.post("/account/profile", "name", "Ada").wantRedirect(t, "/_auth/account/profile")
			b.post("/logout").wantRedirect(t, "/_auth/logged-out")
		}
	}
}

// Nothing is changed by looking: every page of a signed-in person, opened twice.
func TestLookingChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("ada", adaPass)
	other := w.browser().signIn("ada", adaPass)
	id := w.sessionOf(other)
	before := w.snapshot()
	for _, rt := range w.addresses() {
		for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
			b.do(method, strings.ReplaceAll(address(rt.Pattern), strings.Repeat("0", 26), id))
		}
	}
	if after := w.snapshot(); after != before {
		t.Errorf("something changed: %s, was %s", after, before)
	}
	if !b.signedIn() || !other.signedIn() {
		t.Error("somebody was signed out")
	}
}

// sessionOf returns the id of the browser's session.
func (w *world) sessionOf(b *browser) string {
	w.T.Helper()
	s, _, err := w.Store.SessionByToken(w.T.Context(), store.HashToken(b.token()))
	if err != nil {
		w.T.Fatal(err)
	}
	return s.ID
}
