package admin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/store"
)

// A deactivation that is refused leaves identities and sessions alone, too: it is done as a whole or not at all.
func TestARefusedDeactivationTakesNothingAway(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	root := s.Edit(s.Add("root", store.RoleAdmin).ID, func(u *store.User) { u.Managed = true })
	b := s.SignIn("ada")
	for name, id := range map[string]string{"oneself": s.Admin.ID, "the deployment's": root.ID} {
		linked := store.Identity{Issuer: "https://idp", Subject: name, UserID: id, Provider: "acme", CreatedAt: s.Clock.Now()}
		if err := s.Store.Change(t.Context(), func(tx store.Tx) error { return tx.CreateIdentity(t.Context(), linked) }); err != nil {
			t.Fatal(err)
		}
		s.SignIn(s.User(id).Username)
		before := s.open(id)
		b.Post("/admin/users/"+id+"/deactivate", url.Values{"identities": {"1"}}).Want(t, http.StatusForbidden)
		if _, err := s.Store.Identity(t.Context(), linked.Issuer, linked.Subject); err != nil {
			t.Errorf("%s: the identity is gone: %v", name, err)
		}
		if after := s.open(id); after != before {
			t.Errorf("%s: %d sessions of %d are left", name, after, before)
		}
	}
	a := b.Post("/admin/users/"+s.Target.ID+"/deactivate", url.Values{"identities": {"1"}, "note": {"left"}}).Want(t, http.StatusSeeOther)
	if ids, err := s.Store.Identities(t.Context(), s.Target.ID); err != nil || len(ids) != 0 || s.User(s.Target.ID).Active {
		t.Errorf("%d identities are left, %v: %s", len(ids), err, a)
	}
	audited := slices.ContainsFunc(s.Events("user.update"), func(e store.Event) bool {
		return e.Outcome == store.Success && e.Details["note"] == "left" && e.Details["identities_unlinked"] == "1"
	})
	if !audited {
		t.Error("the audit log does not tell it as one act")
	}
}

// open counts the sessions of a user.
func (w *world) open(userID string) int {
	w.T.Helper()
	page, err := w.Store.Sessions(w.T.Context(), store.SessionQuery{UserID: userID, Now: w.Clock.Now(), Limit: 100})
	if err != nil {
		w.T.Fatal(err)
	}
	return len(page.Items)
}

// Anyone who hands a link over sees on that page which ways in are left beside it.
func TestTheHandoverSaysWhatIsLeft(t *testing.T) {
	t.Parallel()
	for _, ticked := range []bool{false, true} {
		s := newScene(t)
		ada := s.SignIn("ada")
		form := url.Values{"way": {"link"}}
		if ticked {
			form.Set("identities", "1")
		}
		ada.Post("/admin/users/"+s.Target.ID+"/reset-link", form).Want(t, http.StatusSeeOther)
		page := ada.Get("/admin/users/"+s.Target.ID+"/handover").Want(t, http.StatusOK)
		if shown := strings.Contains(page.Body, "Still linked: acme. Whoever can sign in there still gets in"); shown == ticked {
			t.Errorf("ticked: %t, shown: %t", ticked, shown)
		}
	}
}
