package admin

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// filled is a world with that many users and ten times as many audit entries.
func filled(b *testing.B, users int) (*world, *browser) {
	b.Helper()
	w := newWorld(b)
	w.add("ada", store.RoleAdmin)
	now := w.clock.Now()
	for from := 0; from < users; from += 5000 {
		err := w.store.Change(b.Context(), func(tx store.Tx) error {
			for i := from; i < min(from+5000, users); i++ {
				at := now.Add(-time.Duration(i) * time.Second)
				u := store.User{ID: store.NewID(at), Username: fmt.Sprintf("user%06d", i), Email: fmt.Sprintf("user%06d@example.com", i), Name: "Some Person", Role: store.RoleUser,
					Active: i%7 != 0, Local: true, Origin: store.OriginLocal, CreatedAt: at, LastLoginAt: at}
				if err := tx.CreateUser(b.Context(), u); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	for from := 0; from < 10*users; from += 10000 {
		events := make([]store.Event, 0, 10000)
		for i := from; i < min(from+10000, 10*users); i++ {
			events = append(events, store.Event{Time: now.Add(-time.Duration(i) * time.Second), Actor: fmt.Sprintf("user%06d", i%users), Action: "session.sign_in", Outcome: store.Success, IP: "192.0.2.7"})
		}
		if err := w.store.AddEvents(b.Context(), events...); err != nil {
			b.Fatal(err)
		}
	}
	return w, w.signIn("ada")
}

// BenchmarkLists times the first, a searched and the last page of the lists, few rows against many: what a page costs
// must not grow with what it does not show.
func BenchmarkLists(b *testing.B) {
	for _, users := range []int{100, 100_000} {
		_, ada := filled(b, users)
		for name, path := range map[string]string{
			"users/first": "/admin/users", "users/searched": fmt.Sprintf("/admin/users?q=user%06d", users/2), "users/last": "/admin/users?dir=back",
			"users/by-last-sign-in": "/admin/users?sort=-last_login", "users/inactive": "/admin/users?status=inactive",
			"audit/first": "/admin/audit", "audit/actor": "/admin/audit?actor=user000007", "audit/action": "/admin/audit?action=session.sign_in",
			"audit/last": "/admin/audit?to=2026-03-01T11:59:00Z", "sessions/first": "/admin/sessions", "dashboard": "/admin",
			"api/users": "/api/v1/users?limit=25",
		} {
			b.Run(fmt.Sprintf("%s/%d", name, users), func(b *testing.B) {
				for b.Loop() {
					ada.get(path).want(b, http.StatusOK)
				}
			})
		}
	}
}
