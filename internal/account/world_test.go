package account_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/seal"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

const (
	goodPass  = "seven quiet otters 42"
	otherPass = "a lamp under the stairs"
)

var operator = account.Actor{Kind: account.CommandLine}

// world is a service on a real store with a clock of its own.
type world struct {
	*account.Service
	t     *testing.T
	ctx   context.Context
	clock *testenv.Clock
	place testenv.Place
}

func newWorld(t *testing.T) *world {
	t.Helper()
	clock := testenv.NewClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	place := testenv.NewPlace(t)
	st := place.Open(t, func(o *sqlstore.Options) { o.Clock, o.PollInterval = clock.Now, 20*time.Millisecond })
	sessions := session.NewManager(st, session.Options{Clock: clock.Now})
	t.Cleanup(sessions.Close)
	hasher := password.NewHasher(password.Params{MemoryKiB: 64, Time: 1, Threads: 1}, nil)
	logins := &login.Service{
		Store: st, Sessions: sessions, Hasher: hasher, Throttle: login.NewThrottle(st, clock.Now),
		Limits: login.DefaultLimits, Lifetime: session.DefaultLimits, Clock: clock.Now, Log: zap.NewNop(),
		Passwords: login.AllPasswords, Sealer: seal.New(st),
	}
	return &world{t: t, ctx: t.Context(), clock: clock, place: place, Service: account.New(account.Config{
		Store: st, Sessions: sessions, Login: logins, Hasher: hasher, Title: "Orchard", Clock: clock.Now,
		Passwords: login.AllPasswords,
	})}
}

// add makes an active account with goodPass.
func (w *world) add(username string, role store.Role) store.User {
	w.t.Helper()
	u, _, err := w.Create(w.ctx, operator, account.NewUser{
		Username: username, Email: username + "@example.com", Role: role, Password: goodPass, Active: true,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

// resetLink resets a password by the command line, and returns the link.
func (w *world) resetLink(userID string, r account.Reset) *account.IssuedLink {
	w.t.Helper()
	link, err := w.ResetPassword(w.ctx, operator, userID, r)
	if err != nil {
		w.t.Fatal(err)
	}
	return link
}

// redeem sets the password that a link is for.
func (w *world) redeem(token, password string) {
	w.t.Helper()
	if _, err := w.RedeemLink(w.ctx, browser, token, account.LinkForm{Password: password}); err != nil {
		w.t.Fatal(err)
	}
}

// change runs fn in a transaction of the store.
func (w *world) change(fn func(tx store.Tx) error) {
	w.t.Helper()
	if err := w.Store.Change(w.ctx, fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) edit(id string, fn func(u *store.User)) store.User {
	w.t.Helper()
	var out store.User
	w.change(func(tx store.Tx) error {
		u, err := tx.User(w.ctx, id)
		if err != nil {
			return err
		}
		fn(&u)
		out, err = tx.UpdateUser(w.ctx, u)
		return err
	})
	return out
}

func (w *world) user(id string) store.User {
	w.t.Helper()
	u, err := w.Store.User(w.ctx, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

var browser = login.Client{
	IP: netip.MustParseAddr("192.0.2.7"), UserAgent: "test", Host: "app.example.com",
	RequestID: "req-1",
}

// signIn signs someone in and returns the token, the live session and the actor of the requests to come.
func (w *world) signIn(username, pass string) (string, *session.Live, account.Actor) {
	w.t.Helper()
	p, err := w.Login.CheckPassword(w.ctx, browser, username, pass)
	if err != nil {
		w.t.Fatal(err)
	}
	in, err := w.Login.SignIn(w.ctx, browser, p, login.SignInOptions{Method: "password"})
	if err != nil {
		w.t.Fatal(err)
	}
	live, err := w.Sessions.Peek(w.ctx, in.Token)
	if err != nil {
		w.t.Fatal(err)
	}
	return in.Token, live, actor(live)
}

func actor(l *session.Live) account.Actor {
	return account.Actor{
		UserID: l.User.ID, Name: l.User.Username, SessionID: l.Session.ID, AuthAt: l.Session.AuthAt, Client: browser,
	}
}

func (w *world) lives(token string) bool {
	w.t.Helper()
	_, err := w.Sessions.Peek(w.ctx, token)
	if err != nil && !errors.Is(err, session.ErrNone) {
		w.t.Fatal(err)
	}
	return err == nil
}

// passwordWorks reports whether a sign-in with the password would succeed.
func (w *world) passwordWorks(u store.User, pass string) bool {
	w.t.Helper()
	ok, _, err := w.Hasher.Verify(w.ctx, w.user(u.ID).PasswordHash, pass)
	if err != nil {
		w.t.Fatal(err)
	}
	return ok
}

func (w *world) events(q store.EventQuery) []store.Event {
	w.t.Helper()
	q.Limit = 1000
	page, err := w.Store.Events(w.ctx, q)
	if err != nil {
		w.t.Fatal(err)
	}
	return page.Items
}

func code(err error) string {
	var f *account.ForbiddenError
	if errors.As(err, &f) {
		return f.Code
	}
	return ""
}

func field(err error, name string) string {
	var i *account.InvalidError
	if errors.As(err, &i) {
		return i.Field(name)
	}
	return ""
}

func linkState(err error) account.LinkState {
	var l *account.LinkError
	if errors.As(err, &l) {
		return l.State
	}
	return ""
}

func ptr[T any](v T) *T { return &v }
