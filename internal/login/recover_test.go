package login_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
)

// notWaysIn are tables that refer to users but give no access, with the reason.
var notWaysIn = map[string]string{
	"device_grants":      "an approved one is a token that waits: it ends with the tokens",
	"user_search":        "the index of names",
	"user_search_rows":   "the index of names",
	"user_search_groups": "the index of groups",
}

var (
	tableOf = regexp.MustCompile(`(?s)CREATE TABLE (\w+) \((.*?)\n\)`)
	ofUser  = regexp.MustCompile(`(?m)^\s*(user_id|owner_id|account_id)\b`)
)

// Every table that refers to users is either revoked by a recovery or listed above as giving no access.
func TestRecoveryCoversEveryTableThatGivesAccess(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../store/sqlstore/migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	seen := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range tableOf.FindAllStringSubmatch(string(text), -1) {
			name, columns := m[1], m[2]
			if !ofUser.MatchString(columns) {
				if strings.Contains(columns, "REFERENCES users") {
					t.Errorf("%s: the table %s refers to users by a column that this test does not know", file, name)
				}
				continue
			}
			seen++
			if _, harmless := notWaysIn[name]; !harmless && !slices.Contains(login.Ways(), name) {
				t.Errorf(
					"%s: the table %s belongs to a user: does it let somebody in? Then end it in recover.go, else say why here", file, name)
			}
		}
	}
	if seen < len(login.Ways()) {
		t.Errorf("%d tables of users were found: this test sees too little", seen)
	}
}

// A new password opens nothing for whoever resets it without the second factor. Where the account is taken back, what an
// intruder may have added goes, and what was proved by it.
func TestRecoveryKeepsSecondFactorsUnlessItIsToRemoveThem(t *testing.T) {
	t.Parallel()
	db := testenv.SQLite(t)
	at := time.Now().UTC().Truncate(time.Millisecond)
	u := store.User{ID: store.NewID(at), Username: "ada", Role: store.RoleUser, Active: true, Local: true, CreatedAt: at}
	app := store.TOTP{ID: store.NewID(at), UserID: u.ID, Secret: "sealed", CreatedAt: at}
	session := store.Session{
		ID: store.NewID(at), TokenHash: store.HashToken("s"), UserID: u.ID, CreatedAt: at, Idle: time.Hour,
		ExpiresAt: at.Add(time.Hour), Methods: "pwd otp mfa", MFAAt: at,
	}
	codes := []store.TokenHash{store.HashToken("1"), store.HashToken("2"), store.HashToken("3")}
	change := func(fn func(ctx context.Context, tx store.Tx) error) {
		t.Helper()
		if err := db.Change(t.Context(), func(tx store.Tx) error { return fn(t.Context(), tx) }); err != nil {
			t.Fatal(err)
		}
	}
	change(func(ctx context.Context, tx store.Tx) error {
		return errors.Join(tx.CreateUser(ctx, u), tx.CreateSession(ctx, session), tx.PutTOTP(ctx, app),
			tx.ConfirmTOTP(ctx, u.ID, app.ID, "phone", 1, at), tx.ReplaceRecoveryCodes(ctx, u.ID, codes, at),
			tx.UseRecoveryCode(ctx, u.ID, codes[0], at),
			tx.SetFactors(ctx, u.ID, store.Factors{Ask: true, DueAt: at, Failures: 9, CodesSaved: true, NoticesSeenAt: at}))
	})
	for _, c := range []struct {
		remove  bool
		want    login.Recovered
		factors store.Factors
		methods string
	}{
		{
			false,
			login.Recovered{TOTPsLeft: 1, CodesLeft: 2},
			store.Factors{TOTPs: 1, Ask: true, DueAt: at, Failures: 9, CodesSaved: true, NoticesSeenAt: at},
			"pwd otp mfa",
		},
		{true, login.Recovered{TOTPs: 1, Codes: 2}, store.Factors{DueAt: at, NoticesSeenAt: at}, "pwd"},
	} {
		var got login.Recovered
		change(func(ctx context.Context, tx store.Tx) (err error) {
			got, err = login.Recover(ctx, tx, u, login.Recovery{KeepSessions: true, Factors: c.remove})
			return err
		})
		s, user, err := db.SessionByToken(t.Context(), session.TokenHash)
		if err != nil || user.Factors != c.factors || s.Methods != c.methods || s.MFAAt.IsZero() != (c.methods == "pwd") {
			t.Errorf("remove %t: %+v, %q at %v, %v", c.remove, user.Factors, s.Methods, s.MFAAt, err)
		}
		details := make(map[string]string)
		got.Describe(details)
		if !reflect.DeepEqual(got, c.want) || (details["totps_left"] == "1") == c.remove ||
			(details["recovery_codes_removed"] == "2") != c.remove {
			t.Errorf("remove %t: %+v, %v", c.remove, got, details)
		}
	}
}
