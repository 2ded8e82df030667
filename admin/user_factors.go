package admin

import (
	"net/http"
	"slices"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// factorSection shows what second factors a user has, without their secrets.
func (h user) factorSection(r *http.Request, q *web.Request, u store.User) (section, error) {
	sec := section{ID: "factors", Title: q.Text("secondfactors.title")}
	v, err := h.Accounts.Factors.Overview(r.Context(), u)
	if err != nil {
		return sec, err
	}
	sec.Facts = factorFacts(q, v)
	switch {
	case u.ID == q.Live.User.ID:
		return sec, nil
	case u.Managed && hasFactors(v):
		sec.Text = q.Text("secondfactors.managed")
	case hasFactors(v):
		reset := action{Href: q.At(userPath(u.ID) + "/reset-mfa"), Text: q.Text("secondfactors.reset")}
		sec.Actions = append(sec.Actions, reset)
	case v.Demanded:
		sec.Text = q.Text("secondfactors.missing")
	}
	if v.Locked() {
		unlock := action{Href: q.At(userPath(u.ID) + "/unlock-mfa"), Text: q.Text("secondfactors.unlock")}
		sec.Actions = append(sec.Actions, unlock)
	}
	return sec, nil
}

// hasFactors reports whether there is anything to take away.
func hasFactors(v account.FactorOverview) bool { return v.Any() || v.Codes.Left > 0 }

func factorFacts(q *web.Request, v account.FactorOverview) []fact {
	apps := fact{Name: q.Text("secondfactors.apps"), Value: q.Text("secondfactors.none")}
	if len(v.Apps) > 0 {
		apps.Value = q.Text("secondfactors.count", "n", len(v.Apps))
	}
	if v.Locked() {
		apps.Marks = []mark{bad(q.Text("secondfactors.locked"))}
	}
	keys := fact{Name: q.Text("secondfactors.passkeys"), Value: q.Text("secondfactors.none")}
	if v.Passkeys > 0 {
		keys.Value = q.Text("secondfactors.passkey_count", "n", v.Passkeys)
	}
	if !hasFactors(v) {
		return []fact{apps, keys}
	}
	facts := []fact{
		apps, keys,
		{Name: q.Text("secondfactors.codes"), Value: q.Text("secondfactors.codes_left", "n", v.Codes.Left)},
		timeFact(q, q.Text("secondfactors.last_used"), v.LastUsedAt(), "users.never"),
	}
	if v.Browsers > 0 {
		facts = append(facts, fact{
			Name: q.Text("secondfactors.browsers"), Value: q.Text("secondfactors.browser_count", "n", v.Browsers),
		})
	}
	return facts
}

func (h user) resetMFAForm(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	p, s, u, err := h.recoveryPage(r, q, in, "reset_mfa", "reset-mfa", true, func(u store.User) ([]field, bool) {
		return h.resetMFAFields(q, in, u), false
	})
	if err != nil {
		return p, err
	}
	v, err := h.Accounts.Factors.Overview(r.Context(), u)
	if err != nil {
		return p, err
	}
	s.Form.Cancel.Href = q.At(userPath(u.ID) + "/sign-in")
	s.Sections = []section{{ID: "factors", Title: q.Text("secondfactors.title"), Facts: factorFacts(q, v)}}
	s.Warnings, err = accessWarnings(h.Deps, q, r, u, "linked.still", "reset_mfa.tokens_left")
	return p, err
}

// resetMFAFields asks what is taken, and what becomes of the other ways in.
func (h user) resetMFAFields(q *web.Request, in input, u store.User) []field {
	check := func(name, value, label string, ticked bool) field {
		id := name
		if value != "" {
			id += "-" + value
		}
		return field{Kind: "check", Checked: ticked, Field: ui.Field{ID: id, Name: name, Value: value, Label: label}}
	}
	var fields []field
	for _, m := range account.ResetMethods {
		ticked := !in.sent || slices.Contains(in.All("methods"), m)
		fields = append(fields, check("methods", m, q.Text("reset_mfa."+m), ticked))
	}
	fields = append(fields,
		check("end_sessions", "", q.Text("reset_mfa.end_sessions"), !in.sent || in.Ticked("end_sessions")),
		check("tokens", "", q.Text("reset_mfa.tokens"), !in.sent || in.Ticked("tokens")))
	if u.Active && !u.Pending && h.Login.Passwords.Of(u) {
		fields = append(fields, check("link", "", q.Text("reset_mfa.link"), in.sent && in.Ticked("link")))
	}
	return fields
}

func (h user) resetMFA(w http.ResponseWriter, r *http.Request, q *web.Request, in input) (result, error) {
	reset := account.ResetMFA{
		Sessions: in.Ticked("end_sessions"), Tokens: in.Ticked("tokens") || in.Ticked("revoke_tokens"),
		Identities: in.Ticked("identities"), Link: in.Ticked("link"),
	}
	if err := reset.Take(in.All("methods")...); err != nil {
		return result{}, err
	}
	id := r.PathValue("id")
	done, err := h.Accounts.Factors.ResetMFA(r.Context(), q.Actor(), id, reset)
	if err != nil {
		return result{}, err
	}
	if done.Link != nil {
		return redirectToHandover(w, q, id, passwordChoice{}, done.Link, ""), nil
	}
	return result{redirect: userPath(id) + "/sign-in", flash: "mfa_reset"}, nil
}

func (h user) unlockMFAForm(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	p, s, u, err := h.confirmPage(r, q, in, "unlock_mfa", "unlock-mfa", false)
	if err != nil {
		return p, err
	}
	s.Form.Cancel.Href = q.At(userPath(u.ID) + "/sign-in")
	return p, nil
}

func (h user) unlockMFA(_ http.ResponseWriter, r *http.Request, q *web.Request, _ input) (result, error) {
	id := r.PathValue("id")
	err := h.Accounts.Factors.UnlockMFA(r.Context(), q.Actor(), id)
	return result{redirect: userPath(id) + "/sign-in", flash: "mfa_unlocked"}, err
}
