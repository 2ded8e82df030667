package account

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/passkey"
	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/returnto"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Passkeys lists, makes, names and removes one's own passkeys.
type Passkeys struct{ *web.Deps }

func passkeyRoutes(d *web.Deps) []web.Route {
	h := &Passkeys{d}
	return slices.Concat(
		web.Form(web.PasskeysPage, web.SignedIn, h.list, h.add),
		[]web.Route{web.PasskeyOptions(web.PasskeysPage+"/options", web.SignedIn, h.options)},
		web.Form(web.PasskeysPage+"/{id}/rename", web.SignedIn, h.askName, h.rename),
		web.Form(web.PasskeysPage+"/{id}/remove", web.SignedIn, h.confirmRemove, h.remove),
	)
}

// passkeysPage is the data of the "passkeys" page.
type passkeysPage struct {
	Items   []passkeyItem
	Make    *ui.PasskeyForm
	None    string // why none can be made here; "" where they can
	Stale   string // address where the person proves it again before one is made; "" where that is not needed
	Codes   bool   // the person has nothing else for the day on which the passkeys are lost
	Removed *passkeyItem
}

// passkeyItem is a passkey in a list.
type passkeyItem struct {
	ID, Name, RPID, CredentialID string
	Facts                        []string
	Copy                         bool // there may be a copy of it
	Created, Used                time.Time
}

func passkeyItemOf(q *web.Request, k store.Passkey) passkeyItem {
	it := passkeyItem{
		ID: k.ID, Name: k.Name, RPID: k.RPID, CredentialID: k.CredentialID, Copy: k.CounterBack, Created: k.CreatedAt,
		Used: k.LastUsedAt,
	}
	kept, alone := q.Text("passkeys.device"), q.Text("passkeys.second")
	if k.BackupEligible {
		kept = q.Text("passkeys.synced")
	}
	if k.SignsInAlone() {
		alone = q.Text("passkeys.alone")
	}
	it.Facts = []string{kept, alone}
	if provider := passkey.Provider(k); provider != "" {
		it.Facts = append([]string{provider}, it.Facts...)
	}
	return it
}

func (h *Passkeys) list(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	return h.write(w, r, q, nil, nil)
}

// write shows the list, and of a refused form what was typed as a name, and what is wrong.
func (h *Passkeys) write(w http.ResponseWriter, r *http.Request, q *web.Request, refused *ui.Form, errs []ui.FieldError,
) error {
	if !h.Login.PasskeysOn() {
		return store.ErrNotFound
	}
	list, err := h.Store.Passkeys(r.Context(), q.Live.User.ID)
	if err != nil {
		return err
	}
	t, own := q.StepUpReturn(refused)
	d := passkeysPage{None: q.NoPasskeys()}
	if len(list) > 0 && q.Live.User.Factors.TOTPs == 0 && hasFactors(h.Deps) {
		codes, err := h.Store.RecoveryCodes(r.Context(), q.Live.User.ID)
		if err != nil {
			return err
		}
		d.Codes = codes.Left == 0
	}
	for _, k := range list {
		d.Items = append(d.Items, passkeyItemOf(q, k))
	}
	switch {
	case d.None != "":
	case !q.Confirmed():
		here := returnto.At(q.At(web.PasskeysPage), web.StepUpQuery(t, own))
		d.Stale = q.StepUpURL(returnto.Target{}, here)
	default:
		if d.Make = q.PasskeyMaker(web.PasskeysPage+"/options", web.PasskeysPage, nameIn(refused)); d.Make != nil {
			d.Make.About, d.Make.Hidden = q.Viewer(), ui.HiddenFields(web.StepUpQuery(t, own))
		}
	}
	if id := q.Query.Get(removedParam); id != "" {
		d.Removed = h.removed(w, q, id)
	}
	page := accountPage(h.Deps, q, "passkeys", "passkeys", d)
	if d.Make != nil && len(errs) > 0 {
		fields := []ui.Field{*d.Make.Name}
		web.MarkErrors(&page, fields, errs)
		d.Make.Name = &fields[0]
	}
	q.UI.Write(w, r, page)
	return nil
}

func (h *Passkeys) options(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	return q.WritePasskeyOptions(w, r, func(at login.PasskeyAt) (passkey.Options, error) {
		return h.Accounts.Passkeys.Begin(r.Context(), q.Actor(), at)
	})
}

func (h *Passkeys) add(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once(append(web.PasskeyFields(), "rt", "to", "back")...)
	}
	if err != nil {
		return err
	}
	name := form.Get(web.NameOfPasskey)
	added, err := h.Accounts.Passkeys.Add(r.Context(), q.Actor(), q.AttestationOf(form), name, q.PasskeyName)
	if err != nil {
		fields, _ := problem.FieldErrors(q.UI, err)
		if len(fields) == 0 {
			return h.refuse(w, r, q, err)
		}
		return h.write(w, r, q, &form, fields)
	}
	q.SetSession(w, added.SignedIn)
	q.UI.Flash(w, r, "passkey_added")
	t, own := q.StepUpReturn(&form)
	web.Redirect(w, r, t.RedirectTarget(q.Request, own, q.At(web.PasskeysPage)))
	return nil
}

// nameIn returns the name in a form that was refused, nil for none.
func nameIn(form *ui.Form) string {
	if form == nil {
		return ""
	}
	return form.Get(web.NameOfPasskey)
}

// refuse asks for a proof where the session lacks one, and leads back to the list.
func (h *Passkeys) refuse(w http.ResponseWriter, r *http.Request, q *web.Request, err error) error {
	if askProof(w, r, q, err, web.PasskeysPage) {
		return nil
	}
	return err
}

// one returns the passkey that the address names.
func (h *Passkeys) one(r *http.Request, q *web.Request) (store.Passkey, error) {
	if !h.Login.PasskeysOn() {
		return store.Passkey{}, store.ErrNotFound
	}
	return h.Accounts.Passkeys.Find(r.Context(), h.Store, q.Live.User.ID, r.PathValue("id"))
}

// passkeyNamePage is the data of the "passkey-name" page.
type passkeyNamePage struct {
	Field          ui.Field
	Action, Cancel string
}

func (h *Passkeys) namePage(q *web.Request, k store.Passkey, name string, errs []ui.FieldError) ui.Page {
	fields := []ui.Field{{
		ID: web.NameOfPasskey, Name: web.NameOfPasskey, Label: q.Text("passkey.name"), Value: name, Autocomplete: "off",
		Key: "go", Focus: true,
	}}
	page := accountPage(h.Deps, q, "passkeys", "passkey-name", nil)
	page.Title = q.Text("passkeys.rename_title")
	web.MarkErrors(&page, fields, errs)
	page.Data = passkeyNamePage{
		Field: fields[0], Action: q.At(web.PasskeysPage + "/" + k.ID + "/rename"), Cancel: q.At(web.PasskeysPage),
	}
	return page
}

func (h *Passkeys) askName(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	k, err := h.one(r, q)
	if err != nil {
		return err
	}
	q.UI.Write(w, r, h.namePage(q, k, k.Name, nil))
	return nil
}

func (h *Passkeys) rename(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	form, err := ui.ReadForm(w, r)
	if err == nil {
		err = form.Once(web.NameOfPasskey)
	}
	if err != nil {
		return err
	}
	k, err := h.one(r, q)
	if err != nil {
		return err
	}
	name := form.Get(web.NameOfPasskey)
	_, err = h.Accounts.Passkeys.Rename(r.Context(), q.Actor(), k.ID, name)
	if fields, _ := problem.FieldErrors(q.UI, err); len(fields) > 0 {
		q.UI.Write(w, r, h.namePage(q, k, name, fields))
		return nil
	}
	if err != nil {
		return h.refuse(w, r, q, err)
	}
	q.UI.Flash(w, r, "passkey_renamed")
	web.Redirect(w, r, q.At(web.PasskeysPage))
	return nil
}

func (h *Passkeys) confirmRemove(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	k, err := h.one(r, q)
	if err != nil {
		return err
	}
	it := passkeyItemOf(q, k)
	page := accountPage(h.Deps, q, "passkeys", "confirm", confirmPage{
		Text: q.Text("passkeys.remove_text"), Button: q.Text("passkeys.remove"),
		Action: q.At(web.PasskeysPage + "/" + k.ID + "/remove"), Cancel: q.At(web.PasskeysPage),
		Facts: []fact{
			{q.Text("passkey.name"), it.Name},
			{q.Text("passkeys.domain"), it.RPID},
			{q.Text("passkeys.created"), q.UI.Time(it.Created)},
		},
	})
	page.Title = q.Text("passkeys.remove_title")
	q.UI.Write(w, r, page)
	return nil
}

// removedParam names the passkey that its owner has just removed, and removedKind what is handed over of it: the next
// page tells the browser's password manager about exactly this one.
const (
	removedParam = "removed"
	removedKind  = "k"
)

func (h *Passkeys) remove(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if _, err := ui.ReadForm(w, r); err != nil {
		return err
	}
	k, err := h.Accounts.Passkeys.Remove(r.Context(), q.Actor(), r.PathValue("id"))
	if err != nil {
		return h.refuse(w, r, q, err)
	}
	q.SetHandover(w, k.ID, removedKind, k.RPID+" "+k.CredentialID)
	q.UI.Flash(w, r, "passkey_removed")
	web.Redirect(w, r, q.At(web.PasskeysPage)+"?"+removedParam+"="+k.ID)
	return nil
}

// removed returns what is handed over of a passkey that this browser has just removed.
func (h *Passkeys) removed(w http.ResponseWriter, q *web.Request, id string) *passkeyItem {
	kind, text := q.Handover(id)
	rpID, credential, ok := strings.Cut(text, " ")
	if kind != removedKind || !ok {
		return nil
	}
	q.EndHandover(w)
	return &passkeyItem{RPID: rpID, CredentialID: credential}
}
