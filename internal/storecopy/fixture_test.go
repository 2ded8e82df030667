package storecopy_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/storecopy"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// engines open fresh stores.
var engines = map[string]func(t *testing.T) sqlstore.Options{
	"sqlite": func(t *testing.T) sqlstore.Options {
		return sqlstore.Options{Engine: sqlstore.EngineSQLite, Path: testenv.SQLitePath(t), Migrate: true}
	},
	"postgres": func(t *testing.T) sqlstore.Options {
		return sqlstore.Options{Engine: sqlstore.EnginePostgres, DSN: testenv.MigratedDSN(t), Migrate: true}
	},
}

// onBoth runs a test on both engines.
func onBoth(t *testing.T, test func(t *testing.T, opts sqlstore.Options)) {
	t.Helper()
	for name, fresh := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, fresh(t))
		})
	}
}

func open(t *testing.T, opts sqlstore.Options) *sqlstore.DB {
	t.Helper()
	db, err := sqlstore.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func resuming(opts sqlstore.Options) sqlstore.Options {
	opts.Resume = true
	return opts
}

func side(db *sqlstore.DB) storecopy.Side {
	info := db.Info()
	return storecopy.Side{DB: db.Maintenance(), Engine: info.Engine, Location: info.Location}
}

func change(t *testing.T, db store.Store, fn func(ctx context.Context, tx store.Tx) error) {
	t.Helper()
	if err := db.Change(t.Context(), func(tx store.Tx) error { return fn(t.Context(), tx) }); err != nil {
		t.Fatal(err)
	}
}

// content is the content of a fixture, to check on the other side.
type content struct {
	users    []store.User
	sessions []string // tokens
	link     string   // token
}

// fill inserts rows into every table; users and sessions in several batches.
func fill(t *testing.T, db *sqlstore.DB, people int) content {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Millisecond)
	c := content{link: store.NewToken()}
	change(t, db, func(ctx context.Context, tx store.Tx) error {
		for i := range people {
			u := store.User{
				ID: store.NewID(now), Username: fmt.Sprintf("Üser %d'\"\\ %c", i, 'a'+i%26), Email: fmt.Sprintf("u%d@example.com",
					i),
				Name: "名前 \U0001F511", Role: store.RoleUser, Groups: []string{
					"a",
					"ü,b",
				}[:1], Active: i%7 != 3, Local: true, CreatedAt: now,
			}
			if i == 0 {
				u.Username, u.Role, u.Active, u.Groups = "root", store.RoleAdmin, true, nil
			}
			if err := tx.CreateUser(ctx, u); err != nil {
				return err
			}
			token := store.NewToken()
			err := tx.CreateSession(ctx, store.Session{
				ID: store.NewID(now), TokenHash: store.HashToken(token), UserID: u.ID, CreatedAt: now, AuthAt: now, LastSeenAt: now,
				Idle: time.Hour, ExpiresAt: now.Add(24 * time.Hour), Method: "oidc", Provider: "p", Issuer: "https://idp", Subject: fmt.Sprint(i),
				SID: "s", Sealed: strings.Repeat("x", i%50), IP: "2001:db8::1", UserAgent: "ünï\ncode", Host: "app.example.com",
				Methods: "ext otp mfa", MFAAt: now,
			})
			if err != nil {
				return err
			}
			c.users, c.sessions = append(c.users, u), append(c.sessions, token)
		}
		gone := store.User{
			ID: store.NewID(now), Username: "gone", Role: store.RoleUser, Origin: store.OriginLocal,
			CreatedAt: now,
		}
		if err := errors.Join(tx.CreateUser(ctx, gone), tx.DeleteUser(ctx, gone.ID)); err != nil {
			return err
		}
		return small(ctx, tx, c, now)
	})
	if _, err := db.CountInWindow(t.Context(), "client", 3, time.Minute, now); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := db.BeginAttempt(t.Context(), "account", 2, time.Hour, now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// small inserts a row into each of the other tables.
func small(ctx context.Context, tx store.Tx, c content, now time.Time) error {
	u, later := c.users[0], now.Add(time.Hour)
	signedIn, _, err := tx.SessionByToken(ctx, store.HashToken(c.sessions[0]))
	if err != nil {
		return err
	}
	for _, err := range []error{
		tx.CreateIdentity(ctx, store.Identity{
			Issuer: "https://idp", Subject: "0", UserID: u.ID, Provider: "p",
			CreatedAt: now,
		}),
		tx.CreateLink(ctx, store.Link{
			ID: store.NewID(now), Hash: store.HashToken(c.link), Purpose: store.LinkPassword,
			UserID: u.ID, CreatedAt: now, ExpiresAt: later,
		}),
		tx.CreateToken(ctx, store.Token{
			ID: store.NewID(now), Hash: store.HashToken("token"), UserID: u.ID, Name: "ü", Hosts: []string{"*"},
			Paths: []string{"/a/*"}, Methods: store.TokenRead, CreatedAt: now, ExpiresAt: later,
		}),
		tx.CreateDeviceGrant(ctx, store.DeviceGrant{
			ID: store.NewID(now), Hash: store.HashToken("device code"), CodeHash: store.HashToken("user code"),
			Client: "<ü>", Hosts: []string{"*"}, Paths: []string{"/a/*"}, Methods: store.TokenRead, IP: "2001:db8::1",
			CreatedAt: now, ExpiresAt: later, State: store.DevicePending,
		}),
		tx.PutTOTP(ctx, store.TOTP{ID: "app", UserID: u.ID, Name: "ü", Secret: "s1.1.sealed", CreatedAt: now}),
		tx.ConfirmTOTP(ctx, u.ID, "app", "ü", 59_000_000, now),
		tx.ReplaceRecoveryCodes(ctx, u.ID, []store.TokenHash{store.HashToken("1"), store.HashToken("2")}, now),
		tx.UseRecoveryCode(ctx, u.ID, store.HashToken("1"), now),
		tx.CreatePasskey(ctx, store.Passkey{
			ID: store.NewID(now), UserID: u.ID, RPID: "example.com", CredentialID: "YQ", PublicKey: []byte{0, 0xff, 7},
			AAGUID: strings.Repeat("ab", 16), Transports: []string{"usb", "nfc"}, Attachment: "cross-platform", Name: "ü",
			CreatedAt: now, Discoverable: "yes", PasskeyState: store.PasskeyState{SignCount: 1 << 31, UserVerified: true},
		}),
		tx.CreateTrustedBrowser(ctx, store.TrustedBrowser{
			ID: store.NewID(now), Hash: store.HashToken("trust"), UserID: u.ID, MFAAt: now, CreatedAt: now, ExpiresAt: later,
			IP: "2001:db8::1", UserAgent: "ü",
		}),
		tx.SetFactors(ctx, u.ID, store.Factors{DueAt: now, Failures: 3, CodesSaved: true, NoticesSeenAt: now}),
		tx.CreateHalfLogin(ctx, store.HalfLogin{
			ID: store.NewID(now), Hash: store.HashToken("half"), UserID: u.ID, Purpose: store.HalfLoginVerify,
			Browser: "b", Password: "p", Host: "app.example.com", Data: "s1.1.sealed", CreatedAt: now, ExpiresAt: later,
		}),
		tx.CreateFlow(ctx, store.Flow{
			Hash: store.HashToken("state"), Browser: store.HashToken("browser"), Provider: "p",
			Purpose: "login", CreatedAt: now, ExpiresAt: later,
		}),
		tx.PutDevice(ctx, store.HashToken("device"), u.ID, now, later),
		tx.AddEvent(ctx, store.Event{
			Action: "user.create", Actor: "root", Target: "x", Outcome: store.Success,
			Details: map[string]string{"k": "<ü>"},
		}),
		tx.AddSessionName(ctx, signedIn.ID, "https://idp", "0", "another"),
		tx.SetSetting(ctx, "seal.key.1", store.NewToken()),
	} {
		if err != nil {
			return err
		}
	}
	_, err = tx.UseOnce(ctx, "jti", "1", now, later)
	return err
}

var createTable = regexp.MustCompile(`(?m)^CREATE TABLE (\w+)`)

// tables returns every content table of the migrations.
func tables(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../store/sqlstore/migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range createTable.FindAllStringSubmatch(string(text), -1) {
			if !strings.HasPrefix(m[1], "user_search") { // the text index, which is not content
				list = append(list, m[1])
			}
		}
	}
	if len(list) < 12 {
		t.Fatalf("found %v only", list)
	}
	return list
}

// dump returns every row of every table as text, with column names. It shares no code with the package under test.
func dump(t *testing.T, db *sql.DB) map[string][]string {
	t.Helper()
	all := make(map[string][]string)
	for _, name := range tables(t) {
		all[name] = dumpTable(t, db, name)
	}
	return all
}

func dumpTable(t *testing.T, db *sql.DB, name string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT * FROM `+name)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	cols, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, dest := make([]any, len(cols)), make([]any, len(cols))
		for i := range values {
			dest[i] = &values[i]
		}
		if err := rows.Scan(dest...); err != nil {
			t.Fatal(err)
		}
		cells := make([]string, len(cols))
		for i := range cols {
			cells[i] = fmt.Sprintf("%s=%T:%v", cols[i], values[i], values[i])
		}
		slices.Sort(cells)
		all = append(all, strings.Join(cells, "|"))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// same compares two stores, and checks that no table is empty.
func same(t *testing.T, a, b map[string][]string, but ...string) {
	t.Helper()
	for _, name := range tables(t) {
		if slices.Contains(but, name) {
			continue
		}
		if len(a[name]) == 0 {
			t.Errorf("the fixture has no row in %s: add one, or moving that table is not tested", name)
		}
		if !slices.Equal(a[name], b[name]) {
			t.Errorf("%s differs: %d and %d rows", name, len(a[name]), len(b[name]))
		}
	}
}
