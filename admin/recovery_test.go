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
	root := s.edit(s.add("root", store.RoleAdmin).ID, func(u *store.User) { u.Managed = true })
	b := s.signIn("ada")
	for name, id := range map[string]string{"oneself": s.admin.ID, "the deployment's": root.ID} {
		linked := store.Identity{Issuer: "https://idp", Subject: name, UserID: id, Provider: "acme", CreatedAt: s.clock.Now()}
		if err := s.store.Change(t.Context(), func(tx store.Tx) error { return tx.CreateIdentity(t.Context(), linked) }); err != nil {
			t.Fatal(err)
		}
		s.signIn(s.user(id).Username)
		before := s.open(id)
		b.post("/admin/users/"+id+"/deactivate", url.Values{"identities": {"1"}}).want(t, http.StatusForbidden)
		if _, err := s.store.Identity(t.Context(), linked.Issuer, linked.Subject); err != nil {
			t.Errorf("%s: the identity is gone: %v", name, err)
		}
		if after := s.open(id); after != before {
			t.Errorf("%s: %d sessions of %d are left", name, after, before)
		}
	}
	a := b.post("/admin/users/"+s.target.ID+"/deactivate", url.Values{"identities": {"1"}, "note": {"left"}}).want(t, http.StatusSeeOther)
	if ids, err := s.store.Identities(t.Context(), s.target.ID); err != nil || len(ids) != 0 || s.user(s.target.ID).Active {
		t.Errorf("%d identities are left, %v: %s", len(ids), err, a)
	}
	told := slices.ContainsFunc(s.events("user.update"), func(e store.Event) bool {
		return e.Outcome == store.Success && e.Details["note"] == "left" && e.Details["identities_unlinked"] == "1"
	})
	if !told {
		t.Error("the audit log does not tell it as one act")
	}
}

// open counts the sessions of a user.
func (w *world) open(userID string) int {
	w.t.Helper()
	page, err := w.store.Sessions(w.t.Context(), store.SessionQuery{UserID: userID, Now: w.clock.Now(), Limit: 100})
	if err != nil {
		w.t.Fatal(err)
	}
	return len(page.Items)
}

// Whoever hands a link over sees on that page which ways in are left beside it.
func TestTheHandoverSaysWhatIsLeft(t *testing.T) {
	t.Parallel()
	for _, ticked := range []bool{false, true} {
		s := newScene(t)
		ada := s.signIn("ada")
		form := url.Values{"way": {"link"}}
		if ticked {
			form.Set("identities", "1")
		}
		ada.post("/admin/users/"+s.target.ID+"/reset-link", form).want(t, http.StatusSeeOther)
		page := ada.get("/admin/users/"+s.target.ID+"/handover").want(t, http.StatusOK)
		if told := strings.Contains(page.body, "Still linked: acme. Whoever can sign in there still gets in"); told == ticked {
			t.Errorf("ticked: %t, told: %t", ticked, told)
		}
	}
}
