package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// newPasskey returns a passkey, not yet stored.
func newPasskey(u store.User, rpID, credential string) store.Passkey {
	at := now()
	return store.Passkey{
		ID: store.NewID(at), UserID: u.ID, RPID: rpID, CredentialID: credential, PublicKey: []byte{0, 0xff, 7},
		AAGUID: strings.Repeat("ab", 16), Transports: []string{"usb", "nfc"}, Attachment: "cross-platform", Name: "Zoë's \"key\"",
		CreatedAt: at, Discoverable: "yes", PasskeyState: store.PasskeyState{SignCount: 1 << 31, UserVerified: true},
	}
}

func addPasskey(t *testing.T, s store.Store, u store.User, rpID, credential string) store.Passkey {
	t.Helper()
	p := newPasskey(u, rpID, credential)
	change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreatePasskey(ctx, p) })
	return p
}

func passkeys(t *testing.T, s store.Reader, u store.User) []store.Passkey {
	t.Helper()
	list, err := s.Passkeys(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func userOf(t *testing.T, s store.Reader, u store.User) store.User {
	t.Helper()
	u, err := s.User(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

var passkeyTests = []test{
	{"a passkey is returned as stored, with its user and handle", func(t *testing.T, s store.Store) {
		u, before := addUser(t, s, "u"), ""
		for range 2 { // the first handle stays
			change(t, s, func(ctx context.Context, tx store.Tx) error {
				handle, err := tx.SetPasskeyHandleOnce(ctx, u.ID, store.NewToken())
				if err == nil && before != "" && handle != before {
					t.Errorf("the handle was %q and is %q", before, handle)
				}
				before = handle
				return err
			})
		}
		want := addPasskey(t, s, u, "a.test", "c")
		want.Handle = before
		if list := passkeys(t, s, u); len(list) != 1 || !reflect.DeepEqual(list[0], want) {
			t.Fatalf("got %+v", list)
		}
		got, owner, err := s.PasskeyByCredential(t.Context(), "a.test", "c")
		if err != nil || !reflect.DeepEqual(got, want) || owner.ID != u.ID || owner.Factors.Passkeys != 1 {
			t.Fatalf("got %+v of %+v, %v", got, owner.Factors, err)
		}
		for _, at := range [][2]string{{"b.test", "c"}, {"a.test", "C"}, {"a.test", ""}, {"a.test", "c\x00"}} {
			_, _, err := s.PasskeyByCredential(t.Context(), at[0], at[1])
			wantErr(t, err, store.ErrNotFound)
		}
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.DeleteUser(ctx, u.ID) })
		_, _, err = s.PasskeyByCredential(t.Context(), "a.test", "c")
		wantErr(t, err, store.ErrNotFound)
	}},
	{"a credential is registered once on a domain, and a user has a number of them", func(t *testing.T, s store.Store) {
		u, other := addUser(t, s, "u"), addUser(t, s, "other")
		addPasskey(t, s, u, "a.test", "c")
		addPasskey(t, s, other, "b.test", "c")
		for _, who := range []store.User{u, other} {
			wantConflict(t, try(t, s, func(ctx context.Context, tx store.Tx) error {
				return tx.CreatePasskey(ctx, newPasskey(who, "a.test", "c"))
			}), "credential")
		}
		for i := range store.MaxPasskeys - 1 {
			addPasskey(t, s, u, "a.test", fmt.Sprint(i))
		}
		wantConflict(t, try(t, s, func(ctx context.Context, tx store.Tx) error {
			return tx.CreatePasskey(ctx, newPasskey(u, "a.test", "one more"))
		}), "passkey")
		sites, err := s.PasskeySites(t.Context())
		if want := []store.PasskeySite{{RPID: "a.test", Count: store.MaxPasskeys}, {RPID: "b.test", Count: 1}}; err != nil ||
			!reflect.DeepEqual(sites, want) {
			t.Errorf("sites %+v, %v", sites, err)
		}
	}},
	{"a passkey that could not be used is refused", func(t *testing.T, s store.Store) {
		u, service := addUser(t, s, "u"), addService(t, s, "bot")
		for name, edit := range map[string]func(*store.Passkey){
			"no domain":      func(p *store.Passkey) { p.RPID = "" },
			"no credential":  func(p *store.Passkey) { p.CredentialID = "" },
			"no key":         func(p *store.Passkey) { p.PublicKey = nil },
			"no time":        func(p *store.Passkey) { p.CreatedAt = time.Time{} },
			"long id":        func(p *store.Passkey) { p.CredentialID = strings.Repeat("a", 2000) },
			"bad text":       func(p *store.Passkey) { p.Transports = []string{"\xff"} },
			"odd":            func(p *store.Passkey) { p.Discoverable = "maybe" },
			"backed up":      func(p *store.Passkey) { p.BackedUp = true },
			"nobody's":       func(p *store.Passkey) { p.UserID = "x" },
			"of a program's": func(p *store.Passkey) { p.UserID = service.ID },
		} {
			p := newPasskey(u, "a.test", "c")
			edit(&p)
			if try(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreatePasskey(ctx, p) }) == nil {
				t.Errorf("%s: stored", name)
			}
		}
	}},
	{"a passkey is used, renamed and deleted by its owner alone", func(t *testing.T, s store.Store) {
		u, other := addUser(t, s, "u"), addUser(t, s, "other")
		p, second := addPasskey(t, s, u, "a.test", "c"), newPasskey(u, "a.test", "d")
		second.CreatedAt = p.CreatedAt.Add(time.Second)
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.CreatePasskey(ctx, second) })
		state := store.PasskeyState{SignCount: 7, UserVerified: true, BackupEligible: true, BackedUp: true, CounterBack: true}
		at := now().Add(time.Minute)
		wantErr(t, try(t, s, func(ctx context.Context, tx store.Tx) error {
			return tx.UsePasskey(ctx, other.ID, p.ID, state, at)
		}), store.ErrNotFound)
		for name, write := range map[string]func(ctx context.Context, tx store.Tx) error{
			"rename":   func(ctx context.Context, tx store.Tx) error { return tx.RenamePasskey(ctx, other.ID, p.ID, "x") },
			"distrust": func(ctx context.Context, tx store.Tx) error { return tx.DistrustPasskey(ctx, other.ID, p.ID) },
		} {
			if err := try(t, s, write); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s somebody else's: %v", name, err)
			}
		}
		version := userOf(t, s, u).Version
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			deleted, err := tx.DeletePasskeys(ctx, other.ID, p.ID)
			if len(deleted) > 0 {
				t.Errorf("somebody else's was deleted: %+v", deleted)
			}
			return errors.Join(err, tx.UsePasskey(ctx, u.ID, p.ID, state, at), tx.RenamePasskey(ctx, u.ID, p.ID, "new"))
		})
		p.PasskeyState, p.LastUsedAt, p.Name = state, at, "new"
		if list := passkeys(t, s, u); len(list) != 2 || !reflect.DeepEqual(list[0], p) {
			t.Errorf("got %+v", list)
		}
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.DistrustPasskey(ctx, u.ID, p.ID) })
		p.UserVerified = false // and nothing else: it is no use
		if list := passkeys(t, s, u); len(list) != 2 || !reflect.DeepEqual(list[0], p) || !list[1].UserVerified {
			t.Errorf("after distrust: %+v", list)
		}
		if after := userOf(t, s, u); after.Version <= version || after.Factors.Passkeys != 2 {
			t.Errorf("the user is %+v", after)
		}
		change(t, s, func(ctx context.Context, tx store.Tx) error {
			deleted, err := tx.DeletePasskeys(ctx, u.ID, p.ID)
			if len(deleted) != 1 || !reflect.DeepEqual(deleted[0], p) {
				t.Errorf("deleted %+v", deleted)
			}
			return err
		})
		if list := passkeys(t, s, u); len(list) != 1 || list[0].ID != second.ID || userOf(t, s, u).Factors.Passkeys != 1 {
			t.Errorf("left %+v", list)
		}
		change(t, s, func(ctx context.Context, tx store.Tx) error { _, err := tx.DeletePasskeys(ctx, u.ID, ""); return err })
		if userOf(t, s, u).Factors.Any() {
			t.Error("a passkey counts that is gone")
		}
	}},
}
