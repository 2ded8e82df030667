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

// Anyone who hands a link over sees on that page which ways in are left beside it: those through providers, and tokens
// of programs, which end only when the link is used. With a new password there are none.
func TestTheHandoverSaysWhatIsLeft(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"link", "generated"} {
		for _, ticked := range []bool{false, true} {
			s := newScene(t)
			s.Program(s.Target.ID)
			ada := s.SignIn("ada")
			form := url.Values{"way": {way}}
			if ticked {
				form.Set("identities", "1")
			}
			ada.Post("/admin/users/"+s.Target.ID+"/reset-link", form).Want(t, http.StatusSeeOther)
			page := ada.Get("/admin/users/"+s.Target.ID+"/handover").Want(t, http.StatusOK)
			if shown := strings.Contains(page.Body, "Still linked: acme. Whoever can sign in there still gets in"); shown == ticked {
				t.Errorf("%s, ticked: %t, shown: %t", way, ticked, shown)
			}
			if shown := strings.Contains(page.Body, "1 token of a program goes on until the link is used"); shown != (way == "link") || s.tokens(s.Target.ID) > 0 != shown {
				t.Errorf("%s, ticked: %t, said of tokens: %t, left: %d", way, ticked, shown, s.tokens(s.Target.ID))
			}
		}
	}
}

// tokens counts the tokens of a user.
func (w *world) tokens(userID string) int {
	w.T.Helper()
	n, err := w.Store.CountTokens(w.T.Context(), userID, w.Clock.Now())
	if err != nil {
		w.T.Fatal(err)
	}
	return n
}

// Whoever ends sessions is told before that tokens of programs go on, and what ends them.
func TestEndingSessionsSaysThatTokensGoOn(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	if err := s.Accounts.Programs.Revoke(t.Context(), operator, s.token.ID); err != nil {
		t.Fatal(err)
	}
	ada := s.SignIn("ada")
	at := "/admin/users/" + s.Target.ID + "/end-sessions"
	says := func(path string, want ...string) {
		t.Helper()
		body := ada.Get(path).Want(t, http.StatusOK).Body
		for _, text := range []string{"1 token of a program goes on", "2 tokens of programs go on", "unless the sign-in through providers is unlinked as well", "Tokens of programs go on"} {
			if shown := strings.Contains(body, text); shown != slices.Contains(want, text) {
				t.Errorf("%s says %q: %t", path, text, shown)
			}
		}
	}
	says(at)
	says("/admin/sessions/everyone")
	s.Program(s.Target.ID)
	says(at, "1 token of a program goes on", "unless the sign-in through providers is unlinked as well")
	says("/admin/sessions/everyone", "Tokens of programs go on")
	s.Program(s.Target.ID)
	says(at, "2 tokens of programs go on", "unless the sign-in through providers is unlinked as well")
	if err := s.Accounts.UnlinkIdentity(t.Context(), operator, s.Target.ID, s.Identity.ID()); err != nil {
		t.Fatal(err)
	}
	says(at, "2 tokens of programs go on")
	ada.Post(at, nil).Want(t, http.StatusSeeOther)
	ada.Post("/admin/users/bulk", url.Values{"do": {"end_sessions"}, "id": {s.Target.ID}}).Want(t, http.StatusOK).Shows(t, "1 done", "2 tokens of programs go on")
	if n := s.tokens(s.Target.ID); n != 2 {
		t.Errorf("%d tokens are left", n)
	}
}
