package api

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

func TestTheAuditLogByAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	tom := w.Add("tom", store.RoleUser)
	b := w.SignIn("ada")
	w.Clock.Advance(time.Minute)
	b.JSON(http.MethodPatch, "/users/"+tom.ID, `{"role":"admin","name":"T"}`).Want(t, http.StatusOK)
	var list struct{ Items []json.RawMessage }
	b.JSON(http.MethodGet, "/audit?action=user.update&actor=ADA", nil).Want(t, http.StatusOK).Decode(t, &list)
	if len(list.Items) != 1 || keysOf(t, list.Items[0]) != "action actor actor_id actor_kind details id ip outcome request_id target time" {
		t.Fatalf("%s", list.Items)
	}
	var e Event
	if err := json.Unmarshal(list.Items[0], &e); err != nil {
		t.Fatal(err)
	}
	if e.Details["before.role"] != "user" || e.Details["after.role"] != "admin" || e.Target != "tom" || e.IP != "192.0.2.7" || e.RequestID != "req-1" {
		t.Errorf("%+v", e)
	}
	for query, n := range map[string]int{
		"outcome=denied": 0, "user=" + tom.ID: 2, "q=update": 1, "from=2026-03-02": 0, "to=2026-02-28": 0,
		"action=user.&from=2026-03-01T12:01:00Z": 1, "action=user.&to=2026-03-01T12:01:00Z": 2, "action=user.&to=2026-03-01": 3, "action=user.&since=24h": 3,
	} {
		if b.JSON(http.MethodGet, "/audit?"+query, nil).Want(t, http.StatusOK).Decode(t, &list); len(list.Items) != n {
			t.Errorf("%s: %d entries, not %d", query, len(list.Items), n)
		}
	}
}
