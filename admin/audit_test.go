package admin

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/store"
)

// People may be called what the log calls the command line; nobody takes them for it.
func TestNoUsernamePosesAsWhatHasNoAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("ada", store.RoleAdmin)
	for _, name := range []string{"Command Line", "environment", "start-up", "anonymous", "provider:corp", "unknown user"} {
		u := w.make(account.NewUser{Username: name, Role: store.RoleAdmin, Password: goodPass, Active: true})
		b := w.signIn(name)
		b.json(http.MethodPatch, "/users/"+u.ID, `{"name":"X"}`).want(t, http.StatusOK)
		var list struct {
			Items []struct {
				Actor     string
				ActorKind string `json:"actor_kind"`
				ActorID   string `json:"actor_id"`
			}
		}
		q := "/audit?action=user.update&user=" + u.ID
		b.json(http.MethodGet, q, nil).want(t, http.StatusOK).read(t, &list)
		if len(list.Items) != 1 || list.Items[0].Actor != name || list.Items[0].ActorKind != "person" || list.Items[0].ActorID != u.ID {
			t.Errorf("%q: %+v", name, list.Items)
		}
		for kind, n := range map[string]int{"person": 1, "command_line": 0, "environment": 0, "start_up": 0, "provider": 0, "anonymous": 0, "system": 0} {
			if b.json(http.MethodGet, q+"&actor_kind="+kind, nil).want(t, http.StatusOK).read(t, &list); len(list.Items) != n {
				t.Errorf("%q: %d of kind %s", name, len(list.Items), kind)
			}
		}
		page := b.get("/admin/audit?action=user.update&user="+u.ID).want(t, http.StatusOK)
		if !strings.Contains(page.body, `href="/_auth/admin/users/`+u.ID+`"`) || name != "unknown user" && !strings.Contains(page.body, "account “"+name) {
			t.Errorf("the page takes %q for what has no account:\n%s", name, page.body)
		}
	}
	w.signIn("ada").json(http.MethodGet, "/audit?actor_kind=robot", nil).want(t, http.StatusBadRequest)
}
