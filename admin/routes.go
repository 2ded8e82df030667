package admin

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// routes is the map of the admin pages .
func (a *admin) routes() []web.Route {
	list := []web.Route{
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
	// An address without a page is 403 for everyone but administrators.
	return append(list, web.Route{Pattern: "/admin/", Access: web.Admin})
}

// forms are the pages that change something: GET shows or asks, POST does.
func (a *admin) forms() []web.Route {
	var list []web.Route
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
			web.Route{Method: http.MethodGet, Pattern: f.pattern, Access: web.AdminFresh, Handle: a.showForm(f.form)},
			web.Route{Method: http.MethodPost, Pattern: f.pattern, Access: web.AdminFresh, Audit: f.action, Handle: a.postForm(f.form, f.action)})
	}
	return list
}

func look(pattern string, h web.Handler) web.Route { return web.Get(pattern, web.Admin, h) }
