package sqlstore_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// budgets reach a page in different ways: at once, in steps that are far too short, with and without the text index.
var budgets = []struct {
	scanSteps           []int
	firstSort, lastSort int
}{{[]int{1000}, 0, 0}, {[]int{1, 3}, 0, 0}, {[]int{2, 3}, 0, 20}, {[]int{4}, 3, 5}, {[]int{2, 5}, 1000, 1000}}

// walkPages returns the keys of all pages, and how many pages were not full before the end.
func walkPages(t *testing.T, what string, size int,
	page func(cursor string) (keys []string, next string, err error),
) (all []string, short int) {
	t.Helper()
	cursor := ""
	for range 2000 {
		keys, next, err := page(cursor)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		all = append(all, keys...)
		if len(keys) > size {
			t.Fatalf("%s: %d rows on a page of %d", what, len(keys), size)
		}
		if next == "" {
			return all, short
		}
		if len(keys) < size {
			short++
		}
		cursor = next
	}
	t.Fatalf("%s: the list has no end", what)
	return nil, 0
}

// However small the budget of a page: following Next finds every row once, in order.
func TestPagesThatStopEarlyLoseNothing(t *testing.T) {
	t.Parallel()
	onEngines(t, 40, func(t *testing.T, db *sqlstore.DB) {
		if _, err := db.Writer().ExecContext(t.Context(),
			`UPDATE users SET active = 0 WHERE username_key LIKE 'user_3'`); err != nil {
			t.Fatal(err)
		}
		user, err := db.UserByUsername(t.Context(), "user0")
		if err != nil {
			t.Fatal(err)
		}
		stopped := 0
		for what, list := range lists(t, db, user.ID) {
			var want []string
			for i, r := range budgets {
				sqlstore.SetSearchBudget(db, r.scanSteps, r.firstSort, r.lastSort)
				got, short := walkPages(t, what, 3, list)
				if i == 0 {
					want = got
				}
				if stopped += short; i == 0 && short > 0 {
					t.Errorf("%s: stopped within a sufficient budget", what)
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s with %+v: got %v, want %v", what, r, got, want)
				}
				if dup := len(slices.Compact(slices.Sorted(slices.Values(got)))); dup != len(got) {
					t.Errorf("%s with %+v: %d rows, %d different ones", what, r, len(got), dup)
				}
			}
		}
		if stopped == 0 {
			t.Error("no page stopped early: nothing was tested")
		}
	})
}

// lists returns searches that match much, little and nothing.
func lists(t *testing.T, db *sqlstore.DB, userID string) map[string]func(string) ([]string, string, error) {
	ctx, now, all := t.Context(), time.Now(), map[string]func(string) ([]string, string, error){}
	for _, q := range []store.UserQuery{
		{},
		{Text: "user"},
		{Text: "ser1"},
		{Text: "3"},
		{Text: "r3"},
		{Text: "none"},
		{Status: "active"},
		{Status: "inactive", Text: "er1"},
		{Group: "staff"},
		{Group: "x"},
		{Provider: "local"},
		{Provider: "x"},
		{Text: "USER2", Sort: "-email"},
		{Text: "er2", Sort: "created"},
		{Text: "ser3", Sort: "-last_login"},
	} {
		all[fmt.Sprintf("users %+v", q)] = func(c string) (keys []string, next string, err error) {
			q.Cursor, q.Limit = c, 3
			page, err := db.Users(ctx, q)
			for _, u := range page.Items {
				keys = append(keys, u.Username)
			}
			return keys, page.Next, err
		}
	}
	for _, q := range []store.SessionQuery{
		{},
		{Text: "user"},
		{Text: "192.0.2.7"},
		{Text: "0.2"},
		{Text: "nobody"},
		{UserID: userID, Text: "ser0"},
	} {
		all[fmt.Sprintf("sessions %+v", q)] = func(c string) (keys []string, next string, err error) {
			q.Cursor, q.Limit, q.Now = c, 3, now
			page, err := db.Sessions(ctx, q)
			for _, s := range page.Items {
				keys = append(keys, s.ID)
			}
			return keys, page.Next, err
		}
	}
	for _, q := range []store.EventQuery{
		{},
		{Text: "user"},
		{Text: "none"},
		{Text: "192.0.2.7"},
		{Text: "request-1"},
		{UserID: userID},
		{UserID: userID, Outcome: store.Success, Text: "sign"},
		{Actor: "user0", Action: "session.", Outcome: store.Failure},
		{Action: "session.sign."},
	} {
		all[fmt.Sprintf("events %+v", q)] = func(c string) (keys []string, next string, err error) {
			q.Cursor, q.Limit = c, 3
			page, err := db.Events(ctx, q)
			for _, e := range page.Items {
				keys = append(keys, e.ID)
			}
			if !page.Searched.IsZero() && (page.Next == "" || len(page.Items) >= 3) {
				t.Errorf("a page says that its search stopped: %+v", page)
			}
			return keys, page.Next, err
		}
	}
	return all
}

// The text index follows every change of a user, including those written by other versions.
func TestSearchFollowsEveryChange(t *testing.T) {
	t.Parallel()
	onEngines(t, 12, func(t *testing.T, db *sqlstore.DB) {
		ctx := t.Context()
		want := func(text string, n int) {
			t.Helper()
			for _, few := range []int{1000, 0} { // by the index, and by scanning
				sqlstore.SetSearchBudget(db, []int{1000}, few, few)
				page, err := db.Users(ctx, store.UserQuery{Text: text})
				if err != nil || len(page.Items) != n {
					t.Errorf("%q finds %d, %v, want %d", text, len(page.Items), err, n)
				}
			}
		}
		want("user1", 3)
		u, err := db.UserByUsername(ctx, "user1")
		if err != nil {
			t.Fatal(err)
		}
		err = db.Change(ctx, func(tx store.Tx) error {
			u.Username, u.Email, u.Name, u.Groups = "Ärger", "x@y.example", "王小明 \U0001F511"+strings.Repeat("x",
				90)+"end", []string{"team"}
			if _, err := tx.UpdateUser(ctx, u); err != nil {
				return err
			}
			other, err := tx.UserByUsername(ctx, "user2")
			if err != nil {
				return err
			}
			return tx.DeleteUser(ctx, other.ID)
		})
		if err != nil {
			t.Fatal(err)
		}
		for text, n := range map[string]int{
			"user1": 2, "user2": 0, "ÄRGER": 1, "rge": 1, "王小明": 1, "小明 \U0001F511": 1,
			"@y.exa": 1, `a" OR "b`: 0, "user*": 0, "-user": 0,
			strings.Repeat("ä", 5000): 0, strings.Repeat("王小明", 40): 0,
			strings.Repeat("x", 90) + "end": 1, strings.Repeat("x", 90) + "and": 0,
		} {
			want(text, n)
		}
		if _, err := db.Writer().ExecContext(ctx, `UPDATE users SET search = 'someone else' WHERE id = $1`,
			u.ID); err != nil {
			t.Fatal(err)
		}
		want("ärger", 0)
		want("eone el", 1)
		if page, err := db.Users(ctx, store.UserQuery{Group: "team"}); err != nil || len(page.Items) != 1 {
			t.Errorf("the group has %d, %v", len(page.Items), err)
		}
	})
}

// An address is found as a whole and by any part, whatever the budget of a page, and never by its zone.
func TestAddressesAreStoredWithoutTheirZone(t *testing.T) {
	t.Parallel()
	onEngines(t, 12, func(t *testing.T, db *sqlstore.DB) {
		u, err := db.UserByUsername(t.Context(), "user3")
		if err != nil {
			t.Fatal(err)
		}
		at := time.Now()
		early := at.Add(-time.Minute) // the last of the list
		err = db.Change(t.Context(), func(tx store.Tx) error {
			if err := tx.AddEvent(t.Context(), store.Event{
				Time: early, Action: "session.sign_in", Outcome: store.Success,
				IP: "fe80::1%eth0",
			}); err != nil {
				return err
			}
			return tx.CreateSession(t.Context(), store.Session{
				ID:        store.NewID(at),
				TokenHash: store.HashToken(store.NewToken()), UserID: u.ID, CreatedAt: early,
				AuthAt: early, LastSeenAt: early, Idle: time.Hour, ExpiresAt: at.Add(time.Hour), Method: "password", IP: "fe80::1%eth0",
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		for text, want := range map[string]int{
			"fe80::1": 1, "FE80::1%eth0": 1, "fe80::1%Other": 1, "e80:": 1, ":1": 1,
			"eth0": 0, "%eth": 0,
		} {
			for _, way := range budgets {
				sqlstore.SetSearchBudget(db, way.scanSteps, way.firstSort, way.lastSort)
				sessions, _ := walkPages(t, text, 3, func(c string) (ips []string, next string, err error) {
					page, err := db.Sessions(t.Context(), store.SessionQuery{Text: text, Now: at, Cursor: c, Limit: 3})
					for _, s := range page.Items {
						ips = append(ips, s.IP)
					}
					return ips, page.Next, err
				})
				events, _ := walkPages(t, text, 3, func(c string) (ips []string, next string, err error) {
					page, err := db.Events(t.Context(), store.EventQuery{Text: text, Cursor: c, Limit: 3})
					for _, e := range page.Items {
						ips = append(ips, e.IP)
					}
					return ips, page.Next, err
				})
				if found := slices.Repeat([]string{"fe80::1"}, want); !slices.Equal(sessions, found) ||
					!slices.Equal(events, found) {
					t.Errorf("%q, %+v: sessions of %q, events of %q", text, way, sessions, events)
				}
			}
		}
	})
}
