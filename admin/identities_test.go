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
	if a.Status != http.StatusUnprocessableEntity || !strings.Contains(a.Body, "no account with this username") {
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
