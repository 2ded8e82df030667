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
	w.Add("ada", store.RoleAdmin)
	for _, name := range []string{"Command Line", "environment", "start-up", "anonymous", "provider:corp", "unknown user"} {
		u := w.Create(account.NewUser{Username: name, Role: store.RoleAdmin, Password: goodPass, Active: true})
		b := w.SignIn(name)
		b.JSON(http.MethodPatch, "/users/"+u.ID, `{"name":"X"}`).Want(t, http.StatusOK)
		var list struct {
			Items []struct {
				Actor     string
				ActorKind string `json:"actor_kind"`
				ActorID   string `json:"actor_id"`
			}
		}
		q := "/audit?action=user.update&user=" + u.ID
		b.JSON(http.MethodGet, q, nil).Want(t, http.StatusOK).Decode(t, &list)
		if len(list.Items) != 1 || list.Items[0].Actor != name || list.Items[0].ActorKind != "person" || list.Items[0].ActorID != u.ID {
			t.Errorf("%q: %+v", name, list.Items)
		}
		for kind, n := range map[string]int{"person": 1, "command_line": 0, "environment": 0, "start_up": 0, "provider": 0, "anonymous": 0, "system": 0} {
			if b.JSON(http.MethodGet, q+"&actor_kind="+kind, nil).Want(t, http.StatusOK).Decode(t, &list); len(list.Items) != n {
				t.Errorf("%q: %d of kind %s", name, len(list.Items), kind)
			}
		}
		page := b.Get("/admin/audit?action=user.update&user="+u.ID).Want(t, http.StatusOK)
		if !strings.Contains(page.Body, `href="/_auth/admin/users/`+u.ID+`"`) || name != "unknown user" && !strings.Contains(page.Body, "account “"+name) {
			t.Errorf("the page takes %q for what has no account:\n%s", name, page.Body)
		}
	}
	w.SignIn("ada").JSON(http.MethodGet, "/audit?actor_kind=robot", nil).Want(t, http.StatusBadRequest)
}
