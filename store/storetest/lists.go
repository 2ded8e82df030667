package storetest

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// allUsers returns the users of all pages of a query.
func allUsers(t *testing.T, s store.Reader, q store.UserQuery) []store.User {
	t.Helper()
	var users []store.User
	for range 1000 {
		page, err := s.Users(t.Context(), q)
		if err != nil {
			t.Fatalf("list users: %v", err)
		}
		users = append(users, page.Items...)
		if page.Next == "" {
			return users
		}
		if len(page.Items) == 0 {
			t.Fatal("an empty page says that there is a next one")
		}
		q.Cursor = page.Next
	}
	t.Fatal("the list has no end")
	return nil
}

var userListTests = []test{
	{"every order lists every user once, in both directions", func(t *testing.T, s store.Store) {
		at := now()
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			for i := range 23 {
				u := newUser(fmt.Sprintf("User%02d", (i*7)%23))
				u.CreatedAt = at.Add(time.Duration(i%4) * time.Hour) // many equal keys
				if i%3 == 0 {
					u.Email = fmt.Sprintf("m%02d@example.com", 22-i)
				}
				if i%2 == 0 {
					u.LastLoginAt = at.Add(time.Duration(i%5) * time.Minute)
				}
				if err := tx.CreateUser(ctx, u); err != nil {
					return err
				}
			}
			return nil
		})
		key := map[store.UserSort]func(store.User) string{
			store.SortUsername: func(u store.User) string { return store.FoldName(u.Username) },
			store.SortEmail:    func(u store.User) string { return store.FoldName(u.Email) + "\x00" + u.ID },
			store.SortCreated:  func(u store.User) string { return fmt.Sprintf("%020d%s", u.CreatedAt.UnixMilli(), u.ID) },
			store.SortLastLogin: func(u store.User) string {
				return fmt.Sprintf("%020d%s", max(0, u.LastLoginAt.UnixMilli()),
					u.ID)
			},
		}
		for sort, k := range key {
			for _, dir := range []string{"", "-"} {
				q := store.UserQuery{Sort: store.UserSort(dir) + sort, Limit: 5}
				users := allUsers(t, s, q)
				keys := make([]string, len(users))
				for i, u := range users {
					keys[i] = k(u)
				}
				if dir == "-" {
					slices.Reverse(keys)
				}
				if len(users) != 23 || !slices.IsSorted(keys) || len(slices.Compact(keys)) != 23 {
					t.Errorf("%s: %d users, keys %q", q.Sort, len(users), keys)
				}
			}
		}
	}},
	{"Prev leads to the previous page", func(t *testing.T, s store.Store) {
		for i := range 10 {
			addUser(t, s, fmt.Sprintf("n%d", i))
		}
		for _, sort := range []store.UserSort{"", store.SortUsername, store.SortEmail, "-created", "-last_login"} {
			q := store.UserQuery{Sort: sort, Limit: 4}
			var pages []store.UserPage
			for range 3 {
				page, err := s.Users(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				pages, q.Cursor = append(pages, page), page.Next
			}
			if pages[0].Prev != "" {
				t.Errorf("%q: the first page leads back", sort)
			}
			turned, ok := strings.CutPrefix(string(sort), "-")
			if !ok {
				turned = "-" + cmp.Or(turned, "username")
			}
			back, err := s.Users(t.Context(), store.UserQuery{Sort: store.UserSort(turned), Limit: 4, Cursor: pages[2].Prev})
			if err != nil {
				t.Fatal(err)
			}
			slices.Reverse(back.Items)
			if got, want := usernames(back.Items), usernames(pages[1].Items); !slices.Equal(got, want) {
				t.Errorf("%q: back from page 3: %v, want %v", sort, got, want)
			}
		}
	}},
	{"a group is found by its full name, whatever characters it has", func(t *testing.T, s store.Store) {
		groups := []string{"x", `foo"x`, `x"y`, `,"x`, `["x`, `\"x`, "X", "xx", "y,x", "<x>", "é", `\u00e9`, `a","b`, "a", "b"}
		for i, g := range groups {
			addUser(t, s, fmt.Sprintf("u%02d", i), func(u *store.User) { u.Groups = []string{g} })
		}
		addUser(t, s, "many", func(u *store.User) { u.Groups = []string{"q1", "q2", "q3"} })
		for i, g := range groups {
			if got := usernames(allUsers(t, s, store.UserQuery{Group: g})); !slices.Equal(got, []string{fmt.Sprintf("u%02d", i)}) {
				t.Errorf("%q: got %v, want u%02d", g, got, i)
			}
		}
		for g, want := range map[string]int{"q1": 1, "q2": 1, "q3": 1, "q": 0, "": 16} {
			if n, err := s.CountUsers(t.Context(), store.UserQuery{Group: g}); err != nil || n != want {
				t.Errorf("%q: counted %d, %v, want %d", g, n, err, want)
			}
		}
	}},
	{"rows inserted between pages neither repeat nor hide others", func(t *testing.T, s store.Store) {
		for i := range 6 {
			addUser(t, s, fmt.Sprintf("n%02d", i*2))
		}
		first, err := s.Users(t.Context(), store.UserQuery{Limit: 3})
		if err != nil {
			t.Fatal(err)
		}
		addUser(t, s, "n01")                                                                                        // before the cursor
		addUser(t, s, "n07")                                                                                        // after it
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.DeleteUser(ctx, first.Items[2].ID) }) // at it
		rest := allUsers(t, s, store.UserQuery{Limit: 3, Cursor: first.Next})
		if got := usernames(rest); !slices.Equal(got, []string{"n06", "n07", "n08", "n10"}) {
			t.Fatalf("got %v after %v", got, usernames(first.Items))
		}
	}},
	{"filters of users work, and counting agrees with listing", func(t *testing.T, s store.Store) {
		addUser(t, s, "root", asAdmin, func(u *store.User) { u.LastLoginAt = now() })
		addUser(t, s, "wait", func(u *store.User) { u.Pending = true })
		addUser(t, s, "off", func(u *store.User) { u.Active = false })
		addUser(t, s, "Jürgen", withEmail("J@Example.com"), func(u *store.User) { u.Name = "Jürgen Groß" })
		remote := addUser(t, s, "remote", func(u *store.User) { u.Local = false; u.LastLoginAt = now() })
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			return tx.CreateIdentity(ctx, store.Identity{Issuer: "i", Subject: "s", UserID: remote.ID, Provider: "corp"})
		})
		for _, c := range []struct {
			q    store.UserQuery
			want string
		}{
			{store.UserQuery{}, "jürgen off remote root wait"},
			{store.UserQuery{Status: "active"}, "jürgen remote root"},
			{store.UserQuery{Status: "inactive"}, "off"},
			{store.UserQuery{Status: "pending"}, "wait"},
			{store.UserQuery{Status: "never"}, "jürgen off wait"},
			{store.UserQuery{Role: store.RoleAdmin}, "root"},
			{store.UserQuery{Role: store.RoleUser, Status: "active"}, "jürgen remote"},
			{store.UserQuery{Role: "nonsense"}, ""},
			{store.UserQuery{Provider: "local"}, "jürgen off root wait"},
			{store.UserQuery{Provider: "corp"}, "remote"},
			{store.UserQuery{Provider: "other"}, ""},
			{store.UserQuery{Text: "JÜR"}, "jürgen"},
			{store.UserQuery{Text: "example.COM"}, "jürgen"},
			{store.UserQuery{Text: "gross"}, "jürgen"},
			{store.UserQuery{Text: "%"}, ""},
			{store.UserQuery{Text: "_"}, ""},
			{store.UserQuery{Text: "o"}, "jürgen off remote root"},
		} {
			var names []string
			for _, u := range allUsers(t, s, c.q) {
				names = append(names, store.FoldName(u.Username))
			}
			if got := strings.Join(names, " "); got != c.want {
				t.Errorf("%+v: got %q, want %q", c.q, got, c.want)
			}
			if n, err := s.CountUsers(t.Context(), c.q); err != nil || n != len(names) {
				t.Errorf("%+v: counted %d, %v, want %d", c.q, n, err, len(names))
			}
		}
		for _, q := range []store.UserQuery{{Sort: "password_hash"}, {Sort: "--username"}, {Status: "x' OR 1=1"}} {
			if _, err := s.Users(t.Context(), q); err == nil || errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%+v: got %v, want a refusal of the query", q, err)
			}
		}
	}},
	{"an invalid cursor is distinguished from a failure", func(t *testing.T, s store.Store) {
		u := addUser(t, s, "a")
		addUser(t, s, "b")
		addSession(t, s, u)
		page, err := s.Users(t.Context(), store.UserQuery{Limit: 1})
		if err != nil || page.Next == "" {
			t.Fatalf("page %+v, %v", page, err)
		}
		enc := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
		for _, cursor := range []string{
			"x", "!!", page.Next + "A", page.Next[1:], enc("null"), enc("{}"), enc("[1]"), enc(`{"l":"events","i":"x"}`),
			enc(`{"l":"sessions","i":""}`), enc(`{"l":"sessions","i":"a\u0000"}`), strings.Repeat("A", 100_000), "\x00", "%00",
			enc(`{"l":"users ","i":"a"} `),
		} {
			for name, list := range map[string]func() error{
				"users":    func() error { _, err := s.Users(t.Context(), store.UserQuery{Cursor: cursor}); return err },
				"sessions": func() error { _, err := s.Sessions(t.Context(), store.SessionQuery{Cursor: cursor}); return err },
				"events": func() error {
					if cursor == enc(`{"l":"events","i":"x"}`) {
						return store.ErrBadCursor // this one is right here
					}
					_, err := s.Events(t.Context(), store.EventQuery{Cursor: cursor})
					return err
				},
			} {
				if err := list(); !errors.Is(err, store.ErrBadCursor) {
					t.Errorf("%s with cursor %.40q: got %v, want ErrBadCursor", name, cursor, err)
				}
			}
		}
		_, err = s.Users(t.Context(), store.UserQuery{Cursor: page.Next, Sort: store.SortEmail})
		wantErr(t, err, store.ErrBadCursor) // that of another order
	}},
	{"a page holds 50 rows unless asked, and never more than 1000", func(t *testing.T, s store.Store) {
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			for i := range 1003 {
				if err := tx.CreateUser(ctx, newUser(fmt.Sprintf("u%04d", i))); err != nil {
					return err
				}
			}
			return nil
		})
		for limit, want := range map[int]int{0: 50, -1: 50, 1: 1, 1000: 1000, 1 << 40: 1000} {
			page, err := s.Users(t.Context(), store.UserQuery{Limit: limit})
			if err != nil || len(page.Items) != want || page.Next == "" {
				t.Errorf("limit %d: %d rows, %v, want %d and a next page", limit, len(page.Items), err, want)
			}
		}
	}},
}

var sessionListTests = []test{
	{"sessions are listed by last use, without expired ones", func(t *testing.T, s store.Store) {
		at := now()
		u := addUser(t, s, "Ürsula")
		other := addUser(t, s, "other")
		used := func(d time.Duration) func(*store.Session) {
			return func(x *store.Session) { x.LastSeenAt = at.Add(d); x.Idle = 24 * time.Hour }
		}
		var want []string
		for i := range 7 {
			want = append(want, addSession(t, s, u, used(-time.Duration(i/2)*time.Minute), func(x *store.Session) { x.IP = "192.0.2.7" }).ID)
		}
		foreign := addSession(t, s, other, used(-time.Hour))
		addSession(t, s, u, used(0), func(x *store.Session) { x.ExpiresAt = at })            // over
		addSession(t, s, u, used(-time.Hour), func(x *store.Session) { x.Idle = time.Hour }) // unused for too long
		addSession(t, s, u, used(0), func(x *store.Session) { x.Epoch = u.Epoch + 1 })       // of another epoch
		walk := func(q store.SessionQuery) (ids []string) {
			q.Now, q.Limit = at, 3
			for range 100 {
				page, err := s.Sessions(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				for _, row := range page.Items {
					ids = append(ids, row.ID)
					if row.Username == "" {
						t.Error("a row without a name")
					}
				}
				if q.Cursor = page.Next; q.Cursor == "" {
					return ids
				}
			}
			t.Fatal("the list has no end")
			return nil
		}
		sorted := slices.Clone(want)
		listed := walk(store.SessionQuery{UserID: u.ID})
		slices.Sort(sorted)
		got := slices.Clone(listed)
		slices.Sort(got)
		if !slices.Equal(got, sorted) {
			t.Fatalf("got %v, want %v", listed, want)
		}
		for i, id := range listed { // newest first: pairs have one time
			if j := slices.Index(want, id); j/2 != i/2 {
				t.Errorf("place %d holds number %d", i, j)
			}
		}
		if all := walk(store.SessionQuery{}); len(all) != 8 || all[7] != foreign.ID {
			t.Errorf("everyone's: %v", all)
		}
		if hits := walk(store.SessionQuery{Text: "ÜRS"}); len(hits) != 7 {
			t.Errorf("by name: %d", len(hits))
		}
		if hits := walk(store.SessionQuery{Text: "192.0.2"}); len(hits) != 7 {
			t.Errorf("by address: %d", len(hits))
		}
		u.Username = "Renamed"
		change(t, s, func(ctx context.Context, tx store.Tx) error { _, err := tx.UpdateUser(ctx, u); return err })
		for text, want := range map[string]int{"RENAM": 7, "ürs": 0, "192.0.2": 7} {
			if hits := walk(store.SessionQuery{Text: text}); len(hits) != want {
				t.Errorf("%q after a renaming: %d, want %d", text, len(hits), want)
			}
		}
		if n, err := s.CountSessions(t.Context(), at, 0); err != nil || n < 8 || n > 9 {
			t.Errorf("counted %d, %v", n, err)
		}
		if n, err := s.CountSessions(t.Context(), at.Add(48*time.Hour), 0); err != nil || n != 0 {
			t.Errorf("counted %d two days later, %v", n, err)
		}
	}},
}
