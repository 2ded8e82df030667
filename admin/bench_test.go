package admin

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// rareName is in the names of three people only.
const rareName = "Quist"

// filled is a world with that many users, each with a session and an invitation, and that many audit entries.
func filled(b testing.TB, users, events int) (*world, *browser) {
	b.Helper()
	w := newWorld(b)
	w.Add("ada", store.RoleAdmin)
	for from := 0; from < users; from += 5000 {
		err := w.Store.Change(b.Context(), func(tx store.Tx) error {
			for i := from; i < min(from+5000, users); i++ {
				if err := w.addNumber(tx, i, users); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	now := w.Clock.Now()
	for from := 0; from < events; from += 10000 {
		batch := make([]store.Event, 0, 10000)
		for i := from; i < min(from+10000, events); i++ {
			name := fmt.Sprintf("user%06d", i%users)
			e := store.Event{
				Time: now.Add(-time.Duration(i) * time.Second), Actor: name, Target: name, Action: "session.sign_in", Outcome: store.Success,
				IP: address(i % users), UserAgent: "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", RequestID: fmt.Sprintf("request-%d", i),
			}
			if i == events-1 {
				e.Actor = rareName
			}
			batch = append(batch, e)
		}
		if err := w.Store.AddEvents(b.Context(), batch...); err != nil {
			b.Fatal(err)
		}
	}
	return w, w.SignIn("ada")
}

func address(i int) string { return fmt.Sprintf("192.%d.%d.%d", i/62500%250, i/250%250, i%250) }

// addNumber adds the user of that number with what belongs to it.
func (w *world) addNumber(tx store.Tx, i, of int) error {
	now := w.Clock.Now()
	at, ctx := now.Add(-time.Duration(i)*time.Second), w.T.Context()
	u := store.User{
		ID: store.NewID(at), Username: fmt.Sprintf("user%06d", i), Email: fmt.Sprintf("user%06d@example.com", i), Name: "Some Person", Role: store.RoleUser,
		Active: i%7 != 0, Local: true, Origin: store.OriginLocal, CreatedAt: at, LastLoginAt: at, Groups: []string{"staff", fmt.Sprintf("team%03d", i%max(of/100, 1))},
	}
	if i%(of/3) == 0 {
		u.Name = "Zoë " + rareName
	}
	if err := tx.CreateUser(ctx, u); err != nil {
		return err
	}
	err := tx.CreateSession(ctx, store.Session{
		ID: store.NewID(at), TokenHash: store.HashToken(store.NewToken()), UserID: u.ID, CreatedAt: at, AuthAt: at, LastSeenAt: at,
		Idle: 8760 * time.Hour, ExpiresAt: now.Add(8760 * time.Hour), Method: "password", IP: address(i), UserAgent: "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
	})
	if err != nil {
		return err
	}
	return tx.CreateLink(ctx, store.Link{
		ID: store.NewID(at), Hash: store.HashToken(store.NewToken()), Purpose: store.LinkPassword, UserID: u.ID, CreatedBy: "ada",
		CreatedAt: at, ExpiresAt: now.Add(8760 * time.Hour),
	})
}

// lastPages returns the cursors of the last pages of the lists that lead forwards only.
func (w *world) lastPages() (sessions, links string) {
	w.T.Helper()
	ctx, now := w.T.Context(), w.Clock.Now()
	last := func(next func(cursor string) (string, error)) (cursor string) {
		for {
			following, err := next(cursor)
			if err != nil {
				w.T.Fatal(err)
			}
			if following == "" {
				return cursor
			}
			cursor = following
		}
	}
	sessions = last(func(c string) (string, error) {
		page, err := w.Store.Sessions(ctx, store.SessionQuery{Now: now, Cursor: c, Limit: defaultPageSize})
		return page.Next, err
	})
	links = last(func(c string) (string, error) {
		page, err := w.Store.Links(ctx, store.LinkQuery{Now: now, Cursor: c, Limit: defaultPageSize})
		return page.Next, err
	})
	return sessions, links
}

// listPages are pages of every list: the first and the last one, filtered, and searched for much, little and nothing.
func (w *world) listPages(users, events int) map[string]string {
	sessions, links := w.lastPages()
	oldest := w.Clock.Now().Add(-time.Duration(events-10) * time.Second).Format(time.RFC3339)
	half := fmt.Sprintf("user%06d", users/2)
	return map[string]string{
		"dashboard": "/admin", "users/first": "/admin/users", "users/last": "/admin/users?dir=back", "users/by-last-sign-in": "/admin/users?sort=-last_login",
		"users/inactive": "/admin/users?status=inactive", "users/active": "/admin/users?status=active&role=user", "users/admins": "/admin/users?role=admin",
		"users/group": "/admin/users?group=team000", "users/no-such-group": "/admin/users?group=none", "users/local": "/admin/users?provider=local",
		"users/search-hit": "/admin/users?q=" + half, "users/search-rare": "/admin/users?q=quist&sort=-created", "users/search-miss": "/admin/users?q=nobody",
		"users/search-common": "/admin/users?q=example.com", "users/search-two-letters": "/admin/users?q=er", "users/search-two-letters-miss": "/admin/users?q=qz",
		"users/search-last": "/admin/users?q=example.com&dir=back", "api/users": "/api/v1/users?limit=25",
		"audit/first": "/admin/audit", "audit/last": "/admin/audit?to=" + oldest, "audit/actor": "/admin/audit?actor=user000007", "audit/action": "/admin/audit?action=session.sign_in",
		"audit/outcome-rare": "/admin/audit?outcome=denied&action=session.sign_in", "audit/search-address": "/admin/audit?q=" + address(users/2),
		"audit/search-request": fmt.Sprintf("/admin/audit?q=request-%d", events/2), "audit/search-common": "/admin/audit?q=user", "audit/search-rare": "/admin/audit?q=quist",
		"audit/search-miss": "/admin/audit?q=nobody", "audit/actor-exact-rare": "/admin/audit?actor=quist",
		"sessions/first": "/admin/sessions", "sessions/last": "/admin/sessions?cursor=" + sessions, "sessions/search-hit": "/admin/sessions?q=" + half,
		"sessions/search-address": "/admin/sessions?q=" + address(users/2), "sessions/search-common": "/admin/sessions?q=user", "sessions/search-miss": "/admin/sessions?q=nobody",
		"invitations/first": "/admin/invites", "invitations/last": "/admin/invites?cursor=" + links,
	}
}

// BenchmarkLists times pages of the lists in two stores in turn, one with few rows and one with many: what a page costs
// must not grow with what it does not show. It reports the fastest responses of each, which the machine's other work
// disturbs least, and how they compare; docs/performance.md has the figures.
//
//	go test -run '^$' -bench Lists -benchtime 50x -timeout 60m ./admin
func BenchmarkLists(b *testing.B) {
	const users, events = 100_000, 1_000_000
	w, ada := filled(b, 100, 100)
	small := w.listPages(100, 100)
	many, adaOfMany := filled(b, users, events)
	large := many.listPages(users, events)
	for _, name := range slices.Sorted(maps.Keys(small)) {
		b.Run(name, func(b *testing.B) {
			var few, lots []time.Duration
			for b.Loop() {
				few = append(few, timed(b, ada, small[name]))
				lots = append(lots, timed(b, adaOfMany, large[name]))
			}
			f, l := slices.Min(few), slices.Min(lots)
			b.ReportMetric(f.Seconds()*1000, "few-ms")
			b.ReportMetric(l.Seconds()*1000, "many-ms")
			b.ReportMetric(l.Seconds()/f.Seconds(), "ratio")
		})
	}
}

func timed(b *testing.B, who *browser, path string) time.Duration {
	b.Helper()
	began := time.Now()
	who.Get(path).Want(b, http.StatusOK)
	return time.Since(began)
}

// The pages that the benchmark times show what they should, so that it times the right thing.
func TestPagesOfTheBenchmarkShowWhatTheyShould(t *testing.T) {
	t.Parallel()
	const users, events = 60, 90
	w, ada := filled(t, users, events)
	pages := w.listPages(users, events)
	for name, want := range map[string]string{
		"users/first": "user000000", "users/last": "user000059", "users/inactive": "user000056", "users/group": "user000000", "users/no-such-group": "Nothing matches",
		"users/search-hit": "user000030", "users/search-rare": "Zoë Quist", "users/search-miss": "Nothing matches", "users/search-common": "user000000", "users/search-last": "user000059",
		"users/search-two-letters": "user000000", "users/search-two-letters-miss": "Nothing matches", "audit/first": "user000000", "audit/last": "Quist", "audit/actor": "user000007",
		"audit/outcome-rare": "Nothing matches", "audit/search-address": address(users / 2), "audit/search-request": "user000045", "audit/search-rare": "Quist",
		"audit/search-miss": "Nothing matches", "sessions/first": "user000000", "sessions/last": "user000059", "sessions/search-hit": "user000030",
		"sessions/search-address": "user000030", "sessions/search-miss": "Nothing matches", "invitations/first": "user000000", "dashboard": ">61<",
	} {
		ada.Get(pages[name]).Want(t, http.StatusOK).Shows(t, want)
	}
	for name, path := range pages {
		if a := ada.Get(path); a.Status != http.StatusOK {
			t.Errorf("%s: %d", name, a.Status)
		}
	}
}
