package admin

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/login"
)

func TestPagesOfferNoPasswordWhereNoneIsAccepted(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	b := s.SignIn("ada")
	had := s.Target.PasswordHash
	s.Login.Passwords, s.Accounts.Passwords = login.ManagedPasswords, login.ManagedPasswords
	tom := "/admin/users/" + s.Target.ID
	for _, verb := range []string{"reset-link", "require-change"} {
		if a := b.Get(tom + "/" + verb); a.Status != http.StatusNotFound {
			t.Errorf("%s: status %d", verb, a.Status)
		}
		form := url.Values{"way": {"typed"}, "password": {"seven purple elephants"}}
		if a := b.Post(tom+"/"+verb, form); a.Status != http.StatusNotFound {
			t.Errorf("POST %s: status %d", verb, a.Status)
		}
		if a := b.Post(tom+"/"+verb, url.Values{}); a.Status != http.StatusNotFound {
			t.Errorf("POST %s without a password: status %d", verb, a.Status)
		}
	}
	for _, path := range []string{tom, tom + "/sign-in", "/admin/invites", "/admin/users/invite"} {
		a := b.Get(path)
		if a.Status != http.StatusOK || strings.Contains(a.Body, "reset-link") || strings.Contains(a.Body, `name="password"`) {
			t.Errorf("%s: status %d, or it offers a password", path, a.Status)
		}
	}
	if a := b.Post("/admin/users/invite", url.Values{"username": {"nina"}, "password": {"seven purple elephants"}}); a.Status != http.StatusForbidden {
		t.Errorf("a new user with a password: status %d", a.Status)
	}
	if a := b.Post("/admin/users/invite", url.Values{"username": {"nina"}}); a.Status != http.StatusSeeOther {
		t.Errorf("an invitation: status %d", a.Status)
	}
	if ways := signInMethods(s.Login.Passwords, s.Target, nil); len(ways) != 0 {
		t.Errorf("the password counts as a way in: %v", ways)
	}
	u, err := s.Store.User(t.Context(), s.Target.ID)
	if err != nil || u.PasswordHash != had || u.MustChange {
		t.Errorf("%+v %v", u, err)
	}
}
