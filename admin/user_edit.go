package admin

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// accountFields are the fields of an account, for making and for changing one. autocomplete is off: a browser would
// offer the administrator's own name and address.
func accountFields(q *web.Request, u store.User, in input) []field {
	name := func(id, label, value, hint string, optional bool) field {
		return field{Field: ui.Field{
			ID: id, Name: id, Label: q.Text(label), Hint: hint, Value: in.get(id, value),
			Autocomplete: "off", Optional: optional, Plain: true, Key: "next",
		}}
	}
	groups := name("groups", "users.groups", strings.Join(editableGroups(u), ", "), q.Text("edit.groups_hint"), true)
	groups.Kind = "list"
	if in.sent && in.Has("groups") {
		groups.Value = strings.Join(in.All("groups"), ", ")
	}
	role := roleField(q, in.get("role", string(u.Role)))
	state := activeSelect(q, in.get("active", strconv.FormatBool(u.Active)), u.Pending)
	if u.IsService() {
		state.Hint = q.Text("service.active_hint")
	}
	if u.ID == "" { // nothing is changed yet
		role.Hint, state.Hint = "", ""
	}
	username := name("username", "users.username", u.Username, "", false)
	display := name("name", "users.name", u.Name, "", true)
	if u.IsService() {
		return []field{username, display, groups, state}
	}
	return []field{username, name("email", "users.email", u.Email, "", true), display, role, groups, state}
}

// editableGroups returns the groups that a form can show: between commas.
func editableGroups(u store.User) []string {
	return slices.DeleteFunc(slices.Clone(u.Groups), func(g string) bool { return !identifier.HeaderSafe(g) })
}

// otherGroups returns the others, such as names of a directory. A form leaves them as they are.
func otherGroups(u store.User) []string {
	return slices.DeleteFunc(slices.Clone(u.Groups), identifier.HeaderSafe)
}

func roleField(q *web.Request, now string) field {
	f := field{Kind: "select", Field: ui.Field{
		ID: "role", Name: "role", Label: q.Text("users.role"),
		Hint: q.Text("edit.role_hint"),
	}}
	for _, r := range []store.Role{store.RoleUser, store.RoleAdmin} {
		f.Options = append(f.Options, option{string(r), q.Text("role." + string(r)), string(r) == now})
	}
	return f
}

// activeSelect is a choice and not a box to tick: a box that was not sent and one that was not ticked look the same,
// and nobody should be turned off by a form that was not complete.
func activeSelect(q *web.Request, now string, pending bool) field {
	off := q.Text("mark.inactive")
	if pending {
		off = q.Text("mark.pending")
	}
	return field{
		Kind: "select", Field: ui.Field{
			ID: "active", Name: "active", Label: q.Text("users.status"),
			Hint: q.Text("edit.active_hint"),
		},
		Options: []option{{"true", q.Text("mark.active"), now != "false"}, {"false", off, now == "false"}},
	}
}

func (h user) editForm(r *http.Request, q *web.Request, in input) (ui.Page, error) {
	u, err := h.find(r)
	if err != nil {
		return ui.Page{}, err
	}
	s := &content{Marks: userMarks(q, u)}
	p := newPage(q, "users", q.Text("edit.title", "name", u.Username), s)
	f := &formView{
		Action: q.At(userPath(u.ID) + "/edit"), Submit: q.Text("form.save"), Fields: accountFields(q, u, in),
		Hidden: []pair{{"version", strconv.FormatInt(u.Version, 10)}},
		Cancel: ui.Link{Href: q.At(userPath(u.ID)), Text: q.Text("go.cancel")},
	}
	if u.Managed {
		s.Warnings = []string{q.Text("user.managed", "env", h.Accounts.EnvPrefix)}
		f.Fields = withoutManagedFields(f.Fields, u)
	}
	if stale := in.sent && in.Form.Get("version") != f.Hidden[0].Value; stale {
		hintCurrentValues(q, f.Fields, u)
	}
	setForm(&p, s, f, in)
	return p, nil
}

// withoutManagedFields leaves what the deployment decides out of the form, but for the e-mail, which is shown.
func withoutManagedFields(fields []field, u store.User) []field {
	out := fields[:0]
	for _, f := range fields {
		switch f.Name {
		case "role", "active":
			continue
		case "email":
			f.ReadOnly, f.Value = true, u.Email
		}
		out = append(out, f)
	}
	return out
}

// hintCurrentValues shows beside each field the value that it has now, if that is not what was typed.
func hintCurrentValues(q *web.Request, fields []field, u store.User) {
	now := map[string]string{
		"username": u.Username, "email": u.Email, "name": u.Name, "role": string(u.Role),
		"groups": strings.Join(editableGroups(u), ", "), "active": strconv.FormatBool(u.Active),
	}
	words := map[string]string{
		"role":   q.Text("role." + string(u.Role)),
		"active": q.Text(map[bool]string{true: "mark.active", false: "mark.inactive"}[u.Active]),
	}
	for i := range fields {
		f := &fields[i]
		typed := f.Value
		for _, o := range f.Options {
			if o.Chosen {
				typed = o.Value
			}
		}
		if typed == now[f.Name] {
			continue
		}
		shown := now[f.Name]
		if words[f.Name] != "" {
			shown = words[f.Name]
		}
		f.Hint = q.Text("edit.now", "value", shown)
	}
}

func (h user) edit(_ http.ResponseWriter, r *http.Request, q *web.Request, in input) (result, error) {
	p := account.Patch{}
	text := func(name string) *string {
		if !in.Has(name) {
			return nil
		}
		s := in.Form.Get(name)
		return &s
	}
	p.Username, p.Email, p.Name = text("username"), text("email"), text("name")
	if s := text("role"); s != nil {
		role := store.Role(*s)
		p.Role = &role
	}
	u, err := h.find(r)
	if err != nil {
		return result{}, err
	}
	if in.Has("groups") {
		groups := append(splitList(in.All("groups")), otherGroups(u)...)
		p.Groups = &groups
	}
	if p.Active, err = readActive(q, in); err != nil {
		return result{}, err
	}
	if s := in.Form.Get("version"); s != "" {
		if p.Version, err = strconv.ParseInt(s, 10, 64); err != nil || p.Version <= 0 {
			return result{}, store.ErrStale
		}
	}
	// A pending account stays one until somebody says otherwise: "not active" is what it was.
	if p.Active != nil && !*p.Active && u.Pending && !u.Active {
		p.Active = nil
	}
	if _, err = h.Accounts.Update(r.Context(), q.Actor(), r.PathValue("id"), p); err != nil {
		return result{}, err
	}
	return result{redirect: userPath(r.PathValue("id")), flash: "admin_saved"}, nil
}

// readActive reads the state; nil when it was not sent.
func readActive(q *web.Request, in input) (*bool, error) {
	if !in.Has("active") {
		return nil, nil
	}
	var on bool
	switch strings.ToLower(in.Form.Get("active")) {
	case "true", "1", "on", "yes":
		on = true
	case "false", "0", "off", "no":
	default:
		return nil, fieldError("active", q.Text("edit.active_which"))
	}
	return &on, nil
}
