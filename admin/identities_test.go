package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Administrators see who at a provider is a user here, and unlink them, on the page and by the API.
func TestIdentitiesAreSeenAndUnlinked(t *testing.T) {
	t.Parallel()
	for name, unlink := range map[string]func(s *scene, b *browser) response{
		"page": func(s *scene, b *browser) response {
			at := "/admin/users/" + s.Target.ID
			page := b.Get(at + "/sign-in")
			link := at + "/identities/" + s.Identity.ID() + "/unlink"
			if !strings.Contains(page.Body, link) || !strings.Contains(b.Get(link).Body, "https://idp") {
				s.T.Errorf("the page says nothing of the identity: %s", page)
			}
			return b.Post(link, nil)
		},
		"API": func(s *scene, b *browser) response {
			at := "/api/v1/users/" + s.Target.ID + "/identities"
			var list struct{ Items []api.Identity }
			if a := b.Get(at); json.Unmarshal([]byte(a.Body), &list) != nil || len(list.Items) != 1 || list.Items[0].ID != s.Identity.ID() || list.Items[0].Subject != "tom" {
				s.T.Errorf("the list: %s", a)
			}
			return b.Do(http.MethodDelete, at+"/"+s.Identity.ID(), "", nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			ada := s.SignIn("ada")
			if a := unlink(s, ada); a.Status != http.StatusSeeOther && a.Status != http.StatusNoContent {
				t.Errorf("unlinking: %s", a)
			}
			if _, err := s.Store.Identity(t.Context(), s.Identity.Issuer, s.Identity.Subject); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("it is linked still: %v", err)
			}
		})
	}
}

// The form for a reset takes providers away unless somebody says otherwise; that of an account without a password asks.
func TestTheResetFormUnlinksProvidersByDefault(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	at := "/admin/users/" + s.Target.ID + "/reset-link"
	ada := s.SignIn("ada")
	ticked := func() bool {
		body := ada.Get(at).Body
		i := strings.Index(body, `name="identities"`)
		if i < 0 {
			t.Fatal("the form does not ask about providers")
		}
		start, end := strings.LastIndex(body[:i], "<input"), i+strings.Index(body[i:], ">")
		return strings.Contains(body[start:end], "checked")
	}
	if !ticked() {
		t.Error("the box is not ticked")
	}
	if err := s.Store.Change(t.Context(), func(tx store.Tx) error { return tx.SetPassword(t.Context(), s.Target.ID, store.PasswordChange{}) }); err != nil {
		t.Fatal(err)
	}
	if ticked() {
		t.Error("of somebody who has nothing but the provider it is ticked")
	}
}

// A program names the account by its id; to nobody nothing is moved, and what is not a user's is not found there.
func TestAProgramMovesAnIdentity(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ada, at := s.SignIn("ada"), "/api/v1/users/"+s.Target.ID+"/identities/"
	move := func(identity, body string) response {
		return ada.Do(http.MethodPost, at+identity+"/move", "application/json", strings.NewReader(body))
	}
	for _, body := range []string{`{}`, `{"to":""}`, `{"to":"ada"}`, `{"to":"` + store.NewID(s.Clock.Now()) + `"}`} {
		if a := move(s.Identity.ID(), body); a.Status != http.StatusUnprocessableEntity || !strings.Contains(a.Body, `"to"`) {
			t.Errorf("%s: %s", body, a)
		}
	}
	move(strings.Repeat("0", 32), `{"to":"`+s.Admin.ID+`"}`).Want(t, http.StatusNotFound)
	if id, err := s.Store.Identity(t.Context(), s.Identity.Issuer, s.Identity.Subject); err != nil || id.UserID != s.Target.ID {
		t.Fatalf("it was moved: %+v, %v", id, err)
	}
	move(s.Identity.ID(), `{"to":"`+s.Admin.ID+`"}`).Want(t, http.StatusNoContent)
	if id, err := s.Store.Identity(t.Context(), s.Identity.Issuer, s.Identity.Subject); err != nil || id.UserID != s.Admin.ID {
		t.Errorf("it was not moved: %+v, %v", id, err)
	}
}

// Whoever was made to wait by a stranger's guesses need not wait any more; nobody does that for themselves.
func TestAnAdministratorEndsTheWaitOfOthers(t *testing.T) {
	t.Parallel()
	for name, unlock := range map[string]func(b *browser, id string) response{
		"page": func(b *browser, id string) response { return b.Post("/admin/users/"+id+"/unlock", nil) },
		"API": func(b *browser, id string) response {
			return b.Do(http.MethodPost, "/api/v1/users/"+id+"/unlock", "", nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			walter, err := s.Store.UserByUsername(t.Context(), "walter")
			if err != nil {
				t.Fatal(err)
			}
			ada := s.SignIn("ada")
			wrong := func() int {
				return s.Browser().Post("/login", url.Values{"username": {"walter"}, "password": {"wrong"}}).Status
			}
			for range 12 {
				wrong()
			}
			if got := wrong(); got != http.StatusTooManyRequests {
				t.Fatalf("a guess too many: %d", got)
			}
			if at := "/admin/users/" + walter.ID; !strings.Contains(ada.Get(at+"/sign-in").Body, at+"/unlock") {
				t.Error("the page does not offer it")
			}
			if a := unlock(ada, walter.ID); a.Status != http.StatusSeeOther && a.Status != http.StatusNoContent {
				t.Errorf("unlocking: %s", a)
			}
			if got := wrong(); got != http.StatusUnauthorized {
				t.Errorf("afterwards: %d", got)
			}
			if a := unlock(ada, s.Admin.ID); a.Status != http.StatusForbidden {
				t.Errorf("the own account: %s", a)
			}
			if at := "/admin/users/" + s.Admin.ID; strings.Contains(ada.Get(at+"/sign-in").Body, at+"/unlock") {
				t.Error("for the own account it is offered")
			}
		})
	}
}

// Somebody whose subject changed gets the old account back on the page, too; to nobody it cannot be moved.
func TestAnIdentityIsMovedToTheAccountThatIsNamed(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ada := s.SignIn("ada")
	at := "/admin/users/" + s.Target.ID
	link := at + "/identities/" + s.Identity.ID() + "/move"
	if !strings.Contains(ada.Get(at+"/sign-in").Body, link) || !strings.Contains(ada.Get(link).Body, "https://idp") {
		t.Error("the page does not offer it")
	}
	a := ada.Post(link, url.Values{"to": {"nobody"}})
	if a.Status != http.StatusUnprocessableEntity || !strings.Contains(a.Body, "There is no such account") {
		t.Errorf("to nobody: %s", a)
	}
	if a := ada.Post(link, url.Values{"to": {" ada "}}); a.Status != http.StatusSeeOther {
		t.Errorf("moving: %s", a)
	}
	id, err := s.Store.Identity(t.Context(), s.Identity.Issuer, s.Identity.Subject)
	if err != nil || id.UserID == s.Target.ID {
		t.Errorf("it was not moved: %+v, %v", id, err)
	}
	if _, _, err := s.Store.Session(t.Context(), s.Session); err == nil && s.Target.ID == id.UserID {
		t.Error("the session goes on")
	}
}
