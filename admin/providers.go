package admin

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// providers are the pages about the sign-in through providers.
type providers struct {
	*web.Deps
	Config
}

func (h providers) routes() []web.Route {
	return append(
		change(h.Deps, "/admin/providers/{name}/check", "provider.check", form{h.checkForm, h.check}),
		get("/admin/providers", h.list),
	)
}

func (h providers) list(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	s := &content{Lead: q.Text("idp.lead")}
	for _, p := range h.Providers() {
		s.Sections = append(s.Sections, h.section(q, p))
	}
	if len(s.Sections) == 0 {
		s.Lead = q.Text("idp.none")
	}
	q.UI.Write(w, r, newPage(q, "providers", q.Text("admin.providers"), s))
	return nil
}

func (h providers) section(q *web.Request, p api.ProviderStatus) section {
	state := good(q.Text("idp.up"))
	switch {
	case p.Misconfigured:
		state = bad(q.Text("idp.misconfigured"))
	case p.Down:
		state = bad(q.Text("idp.down"))
	case p.DiscoveredAt.IsZero():
		state = plain(q.Text("idp.unasked"))
	}
	keys, skew := q.Text("idp.unknown"), q.Text("idp.unknown")
	if !p.KeysAt.IsZero() {
		keys = strconv.Itoa(p.Keys)
	}
	if !p.DiscoveredAt.IsZero() || p.Skew != 0 {
		skew = p.Skew.Round(time.Second).String()
	}
	facts := []fact{
		{Name: q.Text("users.status"), Marks: []mark{state}},
		{Name: q.Text("idp.name"), Value: p.Name, Code: true},
		{Name: q.Text("idp.issuer"), Value: p.Issuer, Code: true},
		{Name: q.Text("idp.scopes"), Value: strings.Join(p.Scopes, " "), Code: true},
		timeFact(q, q.Text("idp.discovered"), p.DiscoveredAt, "idp.never"),
		timeFact(q, q.Text("idp.keys_at"), p.KeysAt, "idp.never"),
		{Name: q.Text("idp.keys"), Value: keys},
		{Name: q.Text("idp.skew"), Value: skew},
		timeFact(q, q.Text("idp.success"), p.LastSuccess, "idp.never"),
	}
	if p.LastError != "" {
		facts = append(facts, fact{Name: q.Text("idp.error"), Value: p.LastError},
			fact{Name: q.Text("idp.error_at"), Time: p.LastErrorAt})
	}
	if p.Note != "" {
		facts = append(facts, fact{Name: q.Text("idp.note"), Value: p.Note})
	}
	if p.LogoutError != "" {
		facts = append(facts, fact{Name: q.Text("idp.logout"), Value: p.LogoutError},
			fact{Name: q.Text("idp.logout_at"), Time: p.LogoutErrorAt})
	}
	sec := section{ID: "p-" + p.Name, Title: p.Label, Facts: facts}
	if p.RedirectURI != "" {
		sec.Secret = &secretView{
			ID: "uri-" + p.Name, Label: q.Text("idp.redirect"), Value: q.Absolute(p.RedirectURI),
			Copy: q.Text("handover.copy"), Copied: q.Text("handover.copied"),
		}
	}
	if h.CheckProvider != nil {
		sec.Actions = []action{{
			Href: q.At("/admin/providers/" + p.Name + "/check"), Text: q.Text("idp.check"),
			More: p.Label,
		}}
	}
	return sec
}

// find returns the provider that the path names, if it can be checked.
func (h providers) find(r *http.Request) (api.ProviderStatus, error) {
	for _, p := range h.Providers() {
		if p.Name == r.PathValue("name") && h.CheckProvider != nil {
			return p, nil
		}
	}
	return api.ProviderStatus{}, store.ErrNotFound
}

func (h providers) checkForm(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	pr, err := h.find(r)
	if err != nil {
		return ui.Page{}, err
	}
	s := &content{Lead: q.Text("idp.check_text", "name", pr.Label)}
	p := newPage(q, "providers", q.Text("idp.check"), s)
	setForm(&p, s, confirmForm(q, q.At("/admin/providers/"+pr.Name+"/check"), q.Text("idp.check"),
		q.At("/admin/providers"), false), in)
	return p, nil
}

// check asks the provider for its metadata and keys now.
func (h providers) check(_ http.ResponseWriter, r *http.Request, q *web.Request, _ input) (result, error) {
	p, err := h.find(r)
	if err != nil {
		return result{}, err
	}
	err = h.CheckProvider(r.Context(), p.Name)
	if errors.Is(err, context.Canceled) {
		return result{}, err
	}
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	if err := h.Accounts.AuditProviderCheck(r.Context(), q.Actor(), p.Name, problem); err != nil {
		return result{}, err
	}
	if err != nil {
		s := &content{
			Notice:   &notice{Kind: ui.Bad, Text: q.Text("idp.failed", "why", err.Error())},
			Sections: []section{h.section(q, p)},
		}
		page := newPage(q, "providers", p.Label, s)
		page.Status, page.Failed = http.StatusBadGateway, true
		return result{page: &page}, nil
	}
	return result{redirect: "/admin/providers", flash: "provider_checked"}, nil
}
