package admin

import (
	"encoding/json"
	"errors"
	"net/http"
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
			at := "/admin/users/" + s.target.ID
			page := b.get(at + "/sign-in")
			link := at + "/identities/" + s.identity.ID() + "/unlink"
			if !strings.Contains(page.body, link) || !strings.Contains(b.get(link).body, "https://idp") {
				s.t.Errorf("the page says nothing of the identity: %s", page)
			}
			return b.post(link, nil)
		},
		"API": func(s *scene, b *browser) response {
			at := "/api/v1/users/" + s.target.ID + "/identities"
			var list struct{ Items []api.Identity }
			if a := b.get(at); json.Unmarshal([]byte(a.body), &list) != nil || len(list.Items) != 1 || list.Items[0].ID != s.identity.ID() || list.Items[0].Subject != "tom" {
				s.t.Errorf("the list: %s", a)
			}
			return b.do(http.MethodDelete, at+"/"+s.identity.ID(), "", nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			ada := s.signIn("ada")
			if a := unlink(s, ada); a.status != http.StatusSeeOther && a.status != http.StatusNoContent {
				t.Errorf("unlinking: %s", a)
			}
			if _, err := s.store.Identity(t.Context(), s.identity.Issuer, s.identity.Subject); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("it is linked still: %v", err)
			}
		})
	}
}

// The form for a reset takes providers away unless somebody says otherwise; that of an account without a password asks.
func TestTheResetFormUnlinksProvidersByDefault(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	at := "/admin/users/" + s.target.ID + "/reset-link"
	ada := s.signIn("ada")
	ticked := func() bool {
		body := ada.get(at).body
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
	if err := s.store.Change(t.Context(), func(tx store.Tx) error { return tx.SetPassword(t.Context(), s.target.ID, store.PasswordChange{}) }); err != nil {
		t.Fatal(err)
	}
	if ticked() {
		t.Error("of somebody who has nothing but the provider it is ticked")
	}
}
