package web_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/store"
)

var (
	formOf  = regexp.MustCompile(`(?s)<form[^>]*method="post"[^>]*action="([^"]*)".*?</form>`)
	aboutIn = regexp.MustCompile(`name="about" value="([^"]*)"`)
)

// A page that was shown to one person says so in every form that acts for the person who is signed in.
func TestEveryFormSaysWhoItIsFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seen := 0
	for name, page := range w.tour(t) {
		for _, m := range formOf.FindAllStringSubmatch(page.body, -1) {
			anyone := strings.HasSuffix(m[1], "/login") || strings.HasSuffix(m[1], "/language") ||
				strings.HasSuffix(m[1], "/logout") && name != "logout" // a bare sign-out is for anyone
			about := aboutIn.FindStringSubmatch(m[0])
			switch {
			case about != nil && store.ValidID(about[1]):
				seen++
			case !anyone && strings.Contains(page.body, "/account"):
				t.Errorf("%s: the form for %s does not say whom it is for", name, m[1])
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d forms say it", seen)
	}
}

// A form of one person, sent after another has signed in in another tab, does nothing for the other.
func TestAFormOfAnotherPersonChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	grace := w.invited("grace")
	grace.b.post("/welcome", "password", freshPass).wantRedirect(t, "/")
	b := grace.b
	before := w.snapshot()
	for _, mp := range w.changing() {
		if mp[0] != "POST" || strings.HasPrefix(mp[1], "/api/") || !strings.HasPrefix(mp[1], "/account") && mp[1] != "/reauth" {
			continue
		}
		b.post(strings.ReplaceAll(mp[1], "{id}", w.sessionOf(b)), "about", w.ada.ID, "name", "Evil", "theme", "dark", "password", freshPass,
			"current_password", freshPass, "new_password", "yet another passphrase").want(t, 409, "for somebody else")
	}
	if after := w.snapshot(); after != before || !b.signedIn() {
		t.Errorf("something changed: %s, was %s", after, before)
	}
	other := w.browser().signIn("grace", freshPass)
	b.post("/logout", "about", w.ada.ID, "everywhere", "1").wantRedirect(t, "/_auth/logged-out")
	if b.signedIn() || !other.signedIn() {
		t.Error("whoever signs out is signed out, here and nowhere else")
	}
}

// Anna's form, sent after Bert's link was opened in another tab, sets nothing.
func TestAFormOfAnotherLinkSetsNothing(t *testing.T) {
	t.Parallel()
	for _, browserSends := range []string{"the whole form", "the name and the password"} {
		w := newWorld(t)
		anna, bert := w.invited("anna"), w.invited("bert")
		b := anna.b
		page := b.get("/welcome").want(t, 200, `value="anna"`)
		about := aboutIn.FindStringSubmatch(page.body)
		if about == nil {
			t.Fatal("the form does not say which link it is for")
		}
		b.get("/link/"+bert.token).wantRedirect(t, "/_auth/welcome")
		fields := []string{"username", "anna", "password", freshPass}
		if browserSends == "the whole form" {
			fields = append(fields, "about", about[1])
		}
		b.post("/welcome", fields...).want(t, 409, "for somebody else")
		for _, name := range []string{"anna", "bert"} {
			if u, err := w.Store.UserByUsername(t.Context(), name); err != nil || u.PasswordHash != "" {
				t.Errorf("%s: %s has a password, %v", browserSends, name, err)
			}
		}
		if b.signedIn() {
			t.Error("somebody is signed in")
		}
		b.get("/link/"+anna.token).wantRedirect(t, "/_auth/welcome")
		b.post("/welcome", append(fields[:4:4], "about", about[1])...).wantRedirect(t, "/")
	}
}
