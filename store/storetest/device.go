package storetest

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// newGrant returns a pending device grant, not yet stored.
func newGrant() store.DeviceGrant {
	at := now()
	return store.DeviceGrant{
		ID: store.NewID(at), Hash: store.HashToken(store.NewToken()), CodeHash: store.HashToken(store.NewToken()),
		Client: "editor on a laptop", Hosts: []string{"app.test"}, Methods: store.TokenAll, Site: "app.test",
		Origin: "c:192.0.2.7", IP: "192.0.2.7", CreatedAt: at, ExpiresAt: at.Add(10 * time.Minute),
		State: store.DevicePending,
	}
}

func addGrant(t *testing.T, s store.Store, with ...func(*store.DeviceGrant)) store.DeviceGrant {
	t.Helper()
	g := newGrant()
	for _, w := range with {
		w(&g)
	}
	change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateDeviceGrant(ctx, g) })
	return g
}

// decide approves a grant with a token of that id, or denies it with "".
func decide(t *testing.T, s store.Store, g store.DeviceGrant, u store.User, tokenID string, at time.Time) error {
	t.Helper()
	d := store.DeviceDecision{State: store.DeviceDenied, UserID: u.ID, TokenID: tokenID}
	if tokenID != "" {
		d.State = store.DeviceApproved
	}
	return try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.DecideDeviceGrant(ctx, g.CodeHash, d, at) })
}

func takeGrant(t *testing.T, s store.Store, g store.DeviceGrant, at time.Time) (got store.DeviceGrant, err error) {
	t.Helper()
	err = try(t, s, func(ctx context.Context, tx store.Tx) error {
		got, err = tx.TakeDeviceGrant(ctx, g.Hash, at)
		return err
	})
	return got, err
}

func setText(t *testing.T, s store.Store, id string, hash store.TokenHash, expires, at time.Time) error {
	t.Helper()
	return try(t, s, func(ctx context.Context, tx store.Tx) error {
		return tx.SetTokenText(ctx, id, hash, "wxyz", expires, at)
	})
}

var deviceTests = []test{
	{"a device grant is returned as stored, by either code", func(t *testing.T, s store.Store) {
		want := addGrant(t, s, func(g *store.DeviceGrant) {
			g.Client, g.Hosts, g.Paths = "Zoë's \"bot\"", []string{"b.test", "*.a.test"}, []string{"/x/*", "/y"}
			g.Methods = store.TokenRead
		})
		byDevice, err := s.DeviceGrant(t.Context(), want.Hash)
		if err != nil || !reflect.DeepEqual(byDevice, want) {
			t.Fatalf("got %+v, %v", byDevice, err)
		}
		byCode, err := s.DeviceGrantByCode(t.Context(), want.CodeHash)
		if err != nil || !reflect.DeepEqual(byCode, want) {
			t.Fatalf("got %+v, %v", byCode, err)
		}
		_, err = s.DeviceGrant(t.Context(), want.CodeHash)
		wantErr(t, err, store.ErrNotFound)
		_, err = s.DeviceGrantByCode(t.Context(), want.Hash)
		wantErr(t, err, store.ErrNotFound)
		again := newGrant()
		again.CodeHash = want.CodeHash
		wantConflict(t, try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateDeviceGrant(ctx, again) }), "code")
	}},
	{"a device grant that no token could come from is refused", func(t *testing.T, s store.Store) {
		for name, edit := range map[string]func(*store.DeviceGrant){
			"no device code": func(g *store.DeviceGrant) { g.Hash = store.TokenHash{} },
			"no user code":   func(g *store.DeviceGrant) { g.CodeHash = store.TokenHash{} },
			"no client":      func(g *store.DeviceGrant) { g.Client = "" },
			"bad client":     func(g *store.DeviceGrant) { g.Client = "a\x00" },
			"no host":        func(g *store.DeviceGrant) { g.Hosts = nil },
			"odd methods":    func(g *store.DeviceGrant) { g.Methods = "write" },
			"no end":         func(g *store.DeviceGrant) { g.ExpiresAt = time.Time{} },
			"approved":       func(g *store.DeviceGrant) { g.State = store.DeviceApproved },
			"somebody's":     func(g *store.DeviceGrant) { g.UserID = "u" },
			"with a token":   func(g *store.DeviceGrant) { g.TokenID = "t" },
		} {
			g := newGrant()
			edit(&g)
			if try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateDeviceGrant(ctx, g) }) == nil {
				t.Errorf("%s: stored", name)
			}
		}
	}},
	{"a device grant is decided once, in time, and taken once", func(t *testing.T, s store.Store) {
		u, at := addUser(t, s, "u"), now()
		approved, denied, late := addGrant(t, s), addGrant(t, s), addGrant(t, s)
		if _, err := takeGrant(t, s, approved, at); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a pending one was taken: %v", err)
		}
		if err := errors.Join(decide(t, s, approved, u, "token", at), decide(t, s, denied, u, "", at)); err != nil {
			t.Fatal(err)
		}
		for _, g := range []store.DeviceGrant{approved, denied} {
			wantErr(t, decide(t, s, g, u, "other", at), store.ErrStale)
			wantErr(t, decide(t, s, g, u, "", at), store.ErrStale)
		}
		wantErr(t, decide(t, s, late, u, "token", late.ExpiresAt), store.ErrNotFound)
		wantErr(t, decide(t, s, newGrant(), u, "token", at), store.ErrNotFound)
		for name, g := range map[string]store.DeviceGrant{"denied": denied, "unknown": newGrant()} {
			if _, err := takeGrant(t, s, g, at); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s was taken: %v", name, err)
			}
		}
		if _, err := takeGrant(t, s, approved, approved.ExpiresAt); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("an expired one was taken: %v", err)
		}
		got, err := takeGrant(t, s, approved, at)
		if err != nil || got.TokenID != "token" || got.UserID != u.ID || got.State != store.DeviceApproved {
			t.Fatalf("got %+v, %v", got, err)
		}
		_, err = takeGrant(t, s, approved, at)
		wantErr(t, err, store.ErrNotFound)
		wantErr(t, decide(t, s, approved, u, "", at), store.ErrStale)
	}},
	{"pending device grants are counted, all and those of an origin", func(t *testing.T, s store.Store) {
		u, at := addUser(t, s, "u"), now()
		mine, decided := addGrant(t, s), addGrant(t, s)
		addGrant(t, s, func(g *store.DeviceGrant) { g.Origin = "c:192.0.2.8" })
		addGrant(t, s, func(g *store.DeviceGrant) { g.ExpiresAt = at })
		if err := decide(t, s, decided, u, "", at); err != nil {
			t.Fatal(err)
		}
		all, own, err := s.CountDeviceGrants(t.Context(), mine.Origin, at)
		if err != nil || all != 2 || own != 1 {
			t.Fatalf("%d and %d, %v", all, own, err)
		}
	}},
	{"a token without a text gets one while it may be used", func(t *testing.T, s store.Store) {
		u, at := addUser(t, s, "u"), now()
		token := addToken(t, s, u, func(token *store.Token) { token.ExpiresAt = at.Add(time.Minute) })
		text, end := store.HashToken("text"), at.Add(time.Hour)
		wantErr(t, setText(t, s, token.ID, text, end, token.ExpiresAt), store.ErrNotFound)
		wantErr(t, setText(t, s, "none", text, end, at), store.ErrNotFound)
		if setText(t, s, token.ID, store.TokenHash{}, end, at) == nil || setText(t, s, token.ID, text, at, at) == nil {
			t.Error("a token without a hash, or one that is over, was made")
		}
		if err := setText(t, s, token.ID, text, end, at); err != nil {
			t.Fatal(err)
		}
		got, _, err := s.TokenByHash(t.Context(), text)
		if err != nil || got.ID != token.ID || got.Hint != "wxyz" || !got.ExpiresAt.Equal(end) || hasToken(t, s, token) {
			t.Errorf("%+v, %v", got, err)
		}
		replaced, next := addToken(t, s, u), newToken(u)
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			return tx.ReplaceToken(ctx, replaced.ID, at.Add(time.Minute), next)
		})
		wantErr(t, setText(t, s, replaced.ID, store.HashToken("late"), end, at), store.ErrNotFound)
	}},
	{"an attempt that was none of those limited is taken back", func(t *testing.T, s store.Store) {
		at := now()
		count := func() time.Duration {
			wait, err := s.CountInWindow(t.Context(), "k", 2, time.Minute, at)
			if err != nil {
				t.Fatal(err)
			}
			return wait
		}
		back := func() {
			if err := s.UncountInWindow(t.Context(), "k", at); err != nil {
				t.Fatal(err)
			}
		}
		back() // there is none yet
		for range 20 {
			if count() > 0 {
				t.Fatal("attempts that were taken back count")
			}
			back()
		}
		back() // none below nothing
		for i, waits := range []bool{false, false, true} {
			if count() > 0 != waits {
				t.Errorf("attempt %d has to wait: %v", i, !waits)
			}
		}
	}},
	{"sweeping deletes device grants some time after their end", func(t *testing.T, s store.Store) {
		live := addGrant(t, s)
		sweepAll(t, s, live.ExpiresAt.Add(5*time.Minute), 0, 10)
		if _, err := s.DeviceGrant(t.Context(), live.Hash); err != nil {
			t.Errorf("its program cannot hear that it has expired: %v", err)
		}
		sweepAll(t, s, live.ExpiresAt.Add(10*time.Minute), 0, 10)
		_, err := s.DeviceGrant(t.Context(), live.Hash)
		wantErr(t, err, store.ErrNotFound)
	}},
	{"texts of strangers in a device grant are stored or refused", func(t *testing.T, s store.Store) {
		for _, text := range hostileTexts {
			g := newGrant()
			g.Client, g.IP, g.Site = text, text, strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "")
			err := try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreateDeviceGrant(ctx, g) })
			if got, rerr := s.DeviceGrant(t.Context(), g.Hash); err == nil && (rerr != nil || got.Client != text) {
				t.Errorf("%.40q became %.40q, %v", text, got.Client, rerr)
			}
		}
	}},
}

// raceDevice lets a grant be approved and denied at once, and then fetched at once.
func raceDevice(t *testing.T, a, b store.Store) {
	u, g := addUser(t, a, "u"), addGrant(t, a)
	won := race(t, 16, store.ErrStale, func(i int) error {
		return decide(t, pick(i, a, b), g, u, []string{"token", ""}[i/2%2], now())
	})
	if won != 1 {
		t.Fatalf("%d decisions counted", won)
	}
	approved := addGrant(t, a)
	if err := decide(t, a, approved, u, "token", now()); err != nil {
		t.Fatal(err)
	}
	won = race(t, 16, store.ErrNotFound, func(i int) error {
		_, err := takeGrant(t, pick(i, a, b), approved, now())
		return err
	})
	if won != 1 {
		t.Fatalf("%d programs got it", won)
	}
}
