package sqlstore_test

import (
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
)

// A cursor comes from a client: whatever it is, the result is a page or ErrBadCursor.
func FuzzCursor(f *testing.F) {
	db := testenv.SQLite(f)
	fill(f, db, 3)
	users, err := db.Users(f.Context(), store.UserQuery{Limit: 1})
	if err != nil || users.Next == "" {
		f.Fatalf("no cursor to begin with: %v", err)
	}
	sessions, err := db.Sessions(f.Context(), store.SessionQuery{Limit: 1, Now: time.Now()})
	if err != nil || sessions.Next == "" {
		f.Fatalf("no cursor to begin with: %v", err)
	}
	events, err := db.Events(f.Context(), store.EventQuery{Limit: 1})
	if err != nil || events.Next == "" {
		f.Fatalf("no cursor to begin with: %v", err)
	}
	for _, cursor := range []string{users.Next, sessions.Next, events.Next} {
		text, err := base64.RawURLEncoding.DecodeString(cursor)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(cursor, string(text))
	}
	f.Add("", `{"l":"events","n":1e99,"i":"x"}`)
	f.Add("null", `{"l":"events","n":-9223372036854775808,"i":"\ud800"}`)
	f.Fuzz(func(t *testing.T, raw, text string) {
		for _, cursor := range []string{raw, base64.RawURLEncoding.EncodeToString([]byte(text))} {
			_, users := db.Users(t.Context(), store.UserQuery{Cursor: cursor})
			_, sessions := db.Sessions(t.Context(), store.SessionQuery{Cursor: cursor, Now: time.Now()})
			_, events := db.Events(t.Context(), store.EventQuery{Cursor: cursor})
			for _, err := range []error{users, sessions, events} {
				if err != nil && !errors.Is(err, store.ErrBadCursor) {
					t.Errorf("cursor %q: %v", cursor, err)
				}
			}
		}
	})
}
