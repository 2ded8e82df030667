package account

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Tokens lists, makes, replaces and revokes one's own tokens.
type Tokens struct{ *web.Deps }

func tokenRoutes(d *web.Deps) []web.Route {
	h := &Tokens{d}
	return slices.Concat(
		web.Form("/account/tokens", web.SignedIn, h.list, h.create),
		[]web.Route{
			web.Get("/account/tokens/new", web.SignedIn, h.form),
			web.Get("/account/tokens/{id}/handover", web.SignedIn, h.handover),
		},
		web.Form("/account/tokens/{id}/revoke", web.SignedIn, h.confirmRevoke, h.revoke),
		web.Form("/account/tokens/{id}/rotate", web.SignedIn, h.askRotate, h.rotate),
	)
}

// tokensPage is the data of the "tokens" page.
type tokensPage struct {
	Items  []tokenItem
	Next   string
	Device bool // programs can ask with a code
}

// tokenItem is a token in a list.
type tokenItem struct {
	ID, Name, Hint        string
	Hosts, Paths, Methods string
	Created, Expires      time.Time
	State                 string // "" for nothing to say
	Kind                  ui.Kind
	LastUsed              time.Time
	LastIP                string
	Rotatable             bool
}

func tokenItemOf(q *web.Request, t store.Token) tokenItem {
	kind, state := q.TokenState(t)
	return tokenItem{
		ID: t.ID, Name: t.Name, Hint: q.TokenHint(t), Hosts: q.TokenHosts(t), Paths: q.TokenPaths(t),
		Methods: q.TokenMethods(t.Methods), Created: t.CreatedAt, Expires: t.ExpiresAt, State: state, Kind: kind,
		LastUsed: t.LastUsedAt, LastIP: t.LastUsedIP, Rotatable: q.TokenRotatable(t),
	}
}

func (h *Tokens) list(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	list, err := h.Store.Tokens(r.Context(), store.TokenQuery{
		UserID: q.Live.User.ID, Cursor: r.URL.Query().Get("cursor"), Limit: perPage,
	})
	if err != nil {
		return err
	}
	d := tokensPage{Next: nextPage(q.At("/account/tokens"), list.Next), Device: q.HasDeviceSignIn()}
	for _, row := range list.Items {
		d.Items = append(d.Items, tokenItemOf(q, row.Token))
	}
	q.UI.Write(w, r, accountPage(h.Deps, q, "tokens", "tokens", d))
	return nil
}

// tokenFormPage is the data of the "token-form" page.
type tokenFormPage struct {
	Text           string
	Fields         []web.TokenField
	Faults         []ui.Field
	Action, Submit string
}

func (h *Tokens) formPage(q *web.Request, title string, d tokenFormPage, errs []ui.FieldError) ui.Page {
	page := accountPage(h.Deps, q, "tokens", "token-form", nil)
	page.Title = title
	fields := make([]ui.Field, len(d.Fields))
	for i := range d.Fields {
		fields[i] = d.Fields[i].Field
	}
	web.MarkErrors(&page, fields, errs)
	for i := range d.Fields {
		d.Fields[i].Field = fields[i]
	}
	d.Faults = ui.Faults(fields)
	page.Data = d
	return page
}

// formParam holds what was typed before a step-up, sealed.
const formParam = "form"

// form asks what a new token is for, of somebody who may make one: before anything is typed.
func (h *Tokens) form(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if h.stale(q) {
		back := q.At("/account/tokens/new")
		if r.URL.RawQuery != "" {
			back += "?" + r.URL.RawQuery
		}
		h.askAgain(w, r, q, back)
		return nil
	}
	q.UI.Write(w, r, h.newPage(q, q.OpenTokenForm(q.Query.Get(formParam)), nil))
	return nil
}

func (h *Tokens) newPage(q *web.Request, f web.TokenForm, errs []ui.FieldError) ui.Page {
	return h.formPage(q, q.Text("token.new"), tokenFormPage{
		Text: q.Text("tokens.right"), Fields: f.Fields(q, q.Live.User), Action: q.At("/account/tokens"),
		Submit: q.Text("token.make"),
	}, f.Faults(errs))
}

func (h *Tokens) create(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once("name", "expires", "days", "methods")
	}
	if err != nil {
		return err
	}
	f := q.NewTokenForm().With(form.All)
	n, err := f.Token(q)
	var made account.IssuedToken
	if err == nil {
		made, err = h.Accounts.Programs.CreateOwn(r.Context(), q.Actor(), n)
	}
	if err != nil {
		back := returnto.At(q.At("/account/tokens/new"), url.Values{formParam: {f.Seal(q)}})
		return h.refuse(w, r, q, err, back, func(errs []ui.FieldError) ui.Page {
			return h.newPage(q, f, errs)
		})
	}
	h.handOver(w, r, q, made)
	return nil
}

// handOver leads to the page that shows a new token.
func (h *Tokens) handOver(w http.ResponseWriter, r *http.Request, q *web.Request, made account.IssuedToken) {
	q.SetHandover(w, made.ID, "t", made.Text)
	web.Redirect(w, r, q.At("/account/tokens/"+made.ID+"/handover"))
}

// stale reports whether somebody has to prove again who they are before tokens are changed.
func (h *Tokens) stale(q *web.Request) bool {
	return !q.Confirmed()
}

// askAgain asks the person to prove it, and leads back. What was typed goes along where that can be.
func (h *Tokens) askAgain(w http.ResponseWriter, r *http.Request, q *web.Request, back string) {
	if _, ok := h.Guard.CheckOwn(q.Request, back); !ok {
		back = q.At("/account/tokens")
	}
	web.Redirect(w, r, q.StepUpURL(returnto.Target{}, back))
}

// refuse shows a form again with what is wrong, or asks for a fresh sign-in and leads back to the form.
func (h *Tokens) refuse(w http.ResponseWriter, r *http.Request, q *web.Request, err error, back string,
	page func([]ui.FieldError) ui.Page,
) error {
	fields, status := problem.FieldErrors(q.UI, err)
	var refused *account.ForbiddenError
	if errors.As(err, &refused) {
		switch {
		case refused.AsksProof():
			h.askAgain(w, r, q, back)
			return nil
		case refused.Code == account.CodeTokenLimit:
			p := page(nil)
			p.Status, p.Failed, p.Notice = status, true, &ui.Notice{Kind: ui.Bad, Text: q.UI.Say(refused.Message)}
			q.UI.Write(w, r, p)
			return nil
		}
	}
	if len(fields) == 0 {
		return err
	}
	p := page(fields)
	p.Status = status
	q.UI.Write(w, r, p)
	return nil
}
