package admin

import "net/http"

// need says what a route asks of an administrator. There is no route for anybody else.
type need int

const (
	fresh need = iota // signed in, or confirmed it, within the last ten minutes; the zero value
	role              // an administrator: looking
)

// handler responds to one request. An error is answered by the portal's map of errors, as a page or a problem document.
type handler func(w http.ResponseWriter, r *http.Request, v *visit) error

// route is one method of one address.
type route struct {
	method  string
	pattern string // of http.ServeMux, without a method
	need    need
	action  string // what a refused attempt is called in the audit log; "" for reading
	handle  handler
	doc     *operation // of the JSON API, nil for pages
}

// routes is the map of the admin pages and their API.
func (a *admin) routes() []route {
	list := []route{
		look("/admin", a.dashboard),
		look("/admin/users", a.listUsers),
		look("/admin/users/export.csv", a.exportUsers),
		look("/admin/users/{id}", a.showUser),
		look("/admin/users/{id}/access", a.showAccess),
		look("/admin/users/{id}/sign-in", a.showSignIn),
		look("/admin/users/{id}/sessions", a.showUserSessions),
		look("/admin/users/{id}/activity", a.showActivity),
		look("/admin/users/{id}/handover", a.showHandover),
		look("/admin/invites", a.listInvites),
		look("/admin/roles", a.listRoles),
		look("/admin/sessions", a.listSessions),
		look("/admin/audit", a.listAudit),
		look("/admin/audit/export.csv", a.exportAuditCSV),
		look("/admin/audit/export.jsonl", a.exportAuditLines),
		look("/admin/audit/{id}", a.showEvent),
		look("/admin/providers", a.listProviders),
		look("/admin/settings", a.showSettings),
	}
	list = append(list, a.forms()...)
	return append(list, a.apiRoutes()...)
}

// forms are the pages that change something: GET shows or asks, POST does.
func (a *admin) forms() []route {
	var list []route
	for _, f := range []struct {
		pattern, action string
		form            form
	}{
		{"/admin/users/invite", "user.create", form{a.buildInvite, a.invite}},
		{"/admin/users/bulk", "user.update", form{a.buildBulk, a.bulk}},
		{"/admin/users/{id}/edit", "user.update", form{a.buildEdit, a.edit}},
		{"/admin/users/{id}/activate", "user.update", form{a.buildActivate, a.activate}},
		{"/admin/users/{id}/deactivate", "user.update", form{a.buildDeactivate, a.deactivate}},
		{"/admin/users/{id}/delete", "user.delete", form{a.buildDelete, a.deleteUser}},
		{"/admin/users/{id}/reset-link", "password.reset", form{a.buildReset, a.reset}},
		{"/admin/users/{id}/cancel-link", "link.cancel", form{a.buildCancelLink, a.cancelLink}},
		{"/admin/users/{id}/require-change", "password.require_change", form{a.buildRequireChange, a.requireChange}},
		{"/admin/users/{id}/end-sessions", "session.end_all", form{a.buildEndSessions, a.endSessions}},
		{"/admin/users/{id}/identities/{identity}/unlink", "identity.unlink", form{a.buildUnlink, a.unlink}},
		{"/admin/sessions/{id}/revoke", "session.end", form{a.buildRevoke, a.revoke}},
		{"/admin/sessions/everyone", "session.end_everyone", form{a.buildEveryone, a.endEveryone}},
		{"/admin/providers/{name}/check", "provider.check", form{a.buildCheck, a.check}},
	} {
		list = append(list,
			route{method: http.MethodGet, pattern: f.pattern, need: fresh, handle: a.showForm(f.form)},
			route{method: http.MethodPost, pattern: f.pattern, need: fresh, action: f.action, handle: a.postForm(f.form, f.action)})
	}
	return list
}

func look(pattern string, h handler) route {
	return route{method: http.MethodGet, pattern: pattern, need: role, handle: h}
}
