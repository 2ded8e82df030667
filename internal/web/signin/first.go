package signin

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// chooseParam in the address of the sign-in page shows all ways to sign in.
const chooseParam = "choose"

// goFirst sends the browser to the provider that comes first, and reports whether it did. In doubt it does not: the
// page offers the provider, too.
func (h *Login) goFirst(w http.ResponseWriter, r *http.Request, q *web.Request) bool {
	name := h.SignIn.First
	if name == "" || h.OIDC == nil || q.Live != nil || !loadsPage(r) {
		return false
	}
	query := r.URL.Query()
	for _, stays := range []string{chooseParam, "canceled", "switch"} {
		if query.Has(stays) {
			return false
		}
	}
	went, ok := q.MayGoFirst()
	if !ok || !h.available(r, name) {
		return false
	}
	o := &OIDC{h.Deps}
	s := o.newStart(r, q, name, false)
	s.CrossSite, s.Hint = !ownNavigation(q, r), ""
	b, err := o.begin(w, r, q, name, s)
	if err != nil {
		return false
	}
	went(w)
	redirectToProvider(w, r, b.URL)
	return true
}

// available reports whether a sign-in at a provider can be expected to work.
func (h *Login) available(r *http.Request, name string) bool {
	choices := h.OIDC.Registry.Choices(r.Context()) // looks it up the first time
	if !slices.ContainsFunc(choices, func(c oidc.Choice) bool { return c.Name == name && !c.Down && !c.Misconfigured }) {
		return false
	}
	return slices.ContainsFunc(h.OIDC.Registry.Status(), func(s oidc.Status) bool {
		return s.Name == name && !s.Misconfigured && s.Problem == "" && s.KeyProblem == ""
	})
}

// loadsPage reports whether a browser loads a page into a tab: no frame, no script, no program, and nothing ahead of
// time, since each attempt at a provider leaves something there.
func loadsPage(r *http.Request) bool {
	h := r.Header
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Moz", "X-Requested-With", "Authorization"} {
		if len(h[name]) > 0 {
			return false
		}
	}
	if r.Method != http.MethodGet || !strings.Contains(strings.ToLower(strings.Join(h["Accept"], ",")), "text/html") {
		return false
	}
	for name, want := range map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"} {
		if values := h[name]; len(values) > 1 || len(values) == 1 && values[0] != want {
			return false
		}
	}
	return true
}

// showsForm reports whether the sign-in page asks for a password at once.
func (h *Login) showsForm(r *http.Request, d loginPage) bool {
	return !h.SignIn.HidePasswords || len(d.Buttons) == 0 || r.Method == http.MethodPost ||
		r.URL.Query().Has(chooseParam)
}

// chooseURL is the address of the sign-in page with everything that it can offer.
func chooseURL(q *web.Request, b returnto.Target, to string) string {
	query := b.Query(to)
	query.Set(chooseParam, "1")
	if q.Live != nil {
		query.Set("switch", "1")
	}
	return returnto.At(q.At("/login"), query)
}

// keepChoice carries chooseParam through the form that changes the language.
func keepChoice(r *http.Request) []ui.Hidden {
	if r.Method == http.MethodPost || r.URL.Query().Has(chooseParam) {
		return []ui.Hidden{{Name: chooseParam, Value: "1"}}
	}
	return nil
}
