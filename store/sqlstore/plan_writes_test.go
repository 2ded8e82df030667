package sqlstore_test

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// written is what the changes below are about.
type written struct {
	user, other store.User
	session     store.Session
	token       store.Token
	at          time.Time
}

// write stores a user with everything that one can have.
func write(t *testing.T, db *sqlstore.DB) (w written) {
	t.Helper()
	ctx := t.Context()
	w.at = time.Now().Truncate(time.Millisecond)
	w.user = store.User{
		ID: store.NewID(w.at), Username: "admin", Email: "admin@example.com", Role: store.RoleAdmin, Active: true, Local: true,
		CreatedAt: w.at, PasswordHash: "h",
	}
	w.session = store.Session{
		ID: store.NewID(w.at), TokenHash: store.HashToken("s"), UserID: w.user.ID, CreatedAt: w.at, Idle: time.Hour,
		ExpiresAt: w.at.Add(time.Hour), Issuer: "i", Subject: "s", SID: "1", Sealed: "x",
	}
	old := w.newToken("old")
	w.token = w.newToken("token")
	err := db.Change(ctx, func(tx store.Tx) (err error) {
		for _, id := range []string{"user0", "user1"} { // somebody else is an administrator, too
			if w.other, err = tx.UserByUsername(ctx, id); err != nil {
				return err
			}
			w.other.Role = store.RoleAdmin
			if w.other, err = tx.UpdateUser(ctx, w.other); err != nil {
				return err
			}
			err = errors.Join(err, tx.SetPassword(ctx, w.other.ID, store.PasswordChange{Hash: "h", At: w.at}))
		}
		return errors.Join(err, tx.CreateUser(ctx, w.user), tx.CreateSession(ctx, w.session), tx.CreateToken(ctx, old),
			tx.ReplaceToken(ctx, old.ID, w.at.Add(time.Hour), w.token),
			tx.CreateIdentity(ctx, store.Identity{Issuer: "i", Subject: "s", UserID: w.user.ID, Provider: "p", CreatedAt: w.at}))
	})
	if err != nil {
		t.Fatal(err)
	}
	if w.user, err = db.User(ctx, w.user.ID); err != nil {
		t.Fatal(err)
	}
	if w.other, err = db.User(ctx, w.other.ID); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w written) newToken(text string) store.Token {
	return store.Token{
		ID: store.NewID(w.at), Hash: store.HashToken(text), UserID: w.user.ID, Hosts: []string{"*"}, Methods: store.TokenAll,
		CreatedAt: w.at, Provider: "p", Issuer: "i", Subject: "s", Claims: "{}",
	}
}

func (w written) newUser() store.User {
	return store.User{ID: store.NewID(w.at), Username: "new", Email: "new@example.com", Role: store.RoleUser, Active: true, Local: true, CreatedAt: w.at}
}

// changes are calls of each method of [store.Tx] that writes.
func (w written) changes(ctx context.Context) map[string][]func(tx store.Tx) error {
	type list = []func(tx store.Tx) error
	u, hash, later := w.user, store.HashToken("x"), w.at.Add(time.Hour)
	end := func(sel store.SessionSelector) func(tx store.Tx) error {
		return func(tx store.Tx) error { _, err := tx.EndSessions(ctx, sel); return err }
	}
	update := func(change func(u *store.User)) func(tx store.Tx) error {
		return func(tx store.Tx) error {
			changed := u
			change(&changed)
			_, err := tx.UpdateUser(ctx, changed)
			return err
		}
	}
	next := w.session
	next.ID, next.TokenHash = store.NewID(w.at), hash
	link := store.Link{ID: store.NewID(w.at), Hash: hash, Purpose: store.LinkPassword, UserID: u.ID, CreatedAt: w.at, ExpiresAt: later}
	flow := store.Flow{Hash: hash, Browser: hash, UserID: u.ID, Purpose: "link", CreatedAt: w.at, ExpiresAt: later}
	grant := store.DeviceGrant{
		ID: store.NewID(w.at), Hash: store.HashToken("d"), CodeHash: store.HashToken("c"), Client: "c", Hosts: []string{"*"}, Origin: "o", State: store.DevicePending,
		Methods: store.TokenAll, CreatedAt: w.at, ExpiresAt: later,
	}
	app := store.TOTP{ID: store.NewID(w.at), UserID: u.ID, Secret: "s", CreatedAt: w.at}
	confirm := func(tx store.Tx) error {
		return errors.Join(tx.PutTOTP(ctx, app), tx.ConfirmTOTP(ctx, u.ID, app.ID, "phone", 1, w.at))
	}
	key := store.Passkey{
		ID: store.NewID(w.at), UserID: u.ID, RPID: "a.test", CredentialID: "c", PublicKey: []byte{1}, CreatedAt: w.at,
	}
	half := store.HalfLogin{
		ID: store.NewID(w.at), Hash: hash, UserID: u.ID, Purpose: store.HalfLoginVerify, CreatedAt: w.at, ExpiresAt: later,
	}
	browser := store.TrustedBrowser{
		ID: store.NewID(w.at), Hash: hash, UserID: u.ID, MFAAt: w.at, CreatedAt: w.at, ExpiresAt: later,
	}
	known := half
	known.Browser = "b"
	approve := func(tx store.Tx) error {
		err := tx.CreateDeviceGrant(ctx, grant)
		d := store.DeviceDecision{State: store.DeviceApproved, UserID: u.ID, TokenID: w.token.ID}
		return errors.Join(err, tx.DecideDeviceGrant(ctx, grant.CodeHash, d, w.at))
	}
	return map[string][]func(tx store.Tx) error{
		"CreateUser": {func(tx store.Tx) error { return tx.CreateUser(ctx, w.newUser()) }},
		"UpdateUser": {
			update(func(u *store.User) { u.Active = false }), update(func(u *store.User) { u.Role = store.RoleUser }),
			update(func(u *store.User) { u.Username, u.Email = "another", "another@example.com" }),
		},
		"DeleteUser": {func(tx store.Tx) error { return tx.DeleteUser(ctx, u.ID) }},
		"SetPassword": {
			func(tx store.Tx) error { return tx.SetPassword(ctx, u.ID, store.PasswordChange{Hash: "n", At: w.at}) },
			func(tx store.Tx) error { return tx.SetPassword(ctx, u.ID, store.PasswordChange{At: w.at}) },
			func(tx store.Tx) error {
				return tx.SetPassword(ctx, u.ID, store.PasswordChange{Hash: "n", Rehash: true, IfHash: "h", At: w.at})
			},
		},
		"SetLastLogin":   {func(tx store.Tx) error { return tx.SetLastLogin(ctx, u.ID, w.at) }},
		"BumpEpoch":      {func(tx store.Tx) error { return tx.BumpEpoch(ctx, u.ID) }},
		"CreateSession":  {func(tx store.Tx) error { return tx.CreateSession(ctx, next) }},
		"ReplaceSession": {func(tx store.Tx) error { return tx.ReplaceSession(ctx, w.session.ID, next) }},
		"EndSessions": {
			end(store.SessionSelector{ID: w.session.ID}), end(store.SessionSelector{UserID: u.ID, Except: "x"}),
			end(store.SessionSelector{Issuer: "i", Subject: "s"}), end(store.SessionSelector{Issuer: "i", SID: "1"}),
			end(store.SessionSelector{Issuer: "i", Subject: "s", SID: "1"}), end(store.SessionSelector{Issuer: "i", Subject: "s", NoSID: true}),
		},
		"SetSessionTokens": {func(tx store.Tx) error {
			return tx.SetSessionTokens(ctx, w.session.ID, "x", store.SessionTokens{Sealed: "y", Claims: "c"})
		}},
		"AddSessionName": {func(tx store.Tx) error { return tx.AddSessionName(ctx, w.session.ID, "i", "s", "2") }},
		"CreateIdentity": {func(tx store.Tx) error {
			return tx.CreateIdentity(ctx, store.Identity{Issuer: "i", Subject: "t", UserID: u.ID, Provider: "p", CreatedAt: w.at})
		}},
		"UpdateIdentity":   {func(tx store.Tx) error { return tx.UpdateIdentity(ctx, store.Identity{Issuer: "i", Subject: "s"}) }},
		"DeleteIdentity":   {func(tx store.Tx) error { return tx.DeleteIdentity(ctx, "i", "s") }},
		"MoveIdentity":     {func(tx store.Tx) error { return tx.MoveIdentity(ctx, "i", "s", w.other.ID) }},
		"RenewTokenClaims": {func(tx store.Tx) error { return tx.RenewTokenClaims(ctx, w.identity(), "new") }},
		"CreateLink":       {func(tx store.Tx) error { return tx.CreateLink(ctx, link) }},
		"TakeLink": {func(tx store.Tx) error {
			err := tx.CreateLink(ctx, link)
			_, taken := tx.TakeLink(ctx, link.Hash, w.at)
			return errors.Join(err, taken)
		}},
		"CancelLinks": {
			func(tx store.Tx) error { _, err := tx.CancelLinks(ctx, store.LinkPassword, u.ID); return err },
			func(tx store.Tx) error { _, err := tx.CancelLinks(ctx, store.LinkSetup, ""); return err },
		},
		"CreateToken":       {func(tx store.Tx) error { return tx.CreateToken(ctx, w.newToken("new")) }},
		"ReplaceToken":      {func(tx store.Tx) error { return tx.ReplaceToken(ctx, w.token.ID, later, w.newToken("new")) }},
		"SetTokenText":      {func(tx store.Tx) error { return tx.SetTokenText(ctx, w.token.ID, hash, "text", later, w.at) }},
		"CreateDeviceGrant": {func(tx store.Tx) error { return tx.CreateDeviceGrant(ctx, grant) }},
		"DecideDeviceGrant": {approve},
		"TakeDeviceGrant": {func(tx store.Tx) error {
			err := approve(tx)
			_, taken := tx.TakeDeviceGrant(ctx, grant.Hash, w.at)
			return errors.Join(err, taken)
		}},
		"DeleteTokens": {
			func(tx store.Tx) error {
				_, err := tx.DeleteTokens(ctx, store.TokenSelector{ID: w.token.ID})
				return err
			},
			func(tx store.Tx) error { _, err := tx.DeleteTokens(ctx, store.TokenSelector{UserID: u.ID}); return err },
		},
		"NoteExpired": {func(tx store.Tx) error { return tx.NoteExpired(ctx, w.token.ID) }},
		"SetFactors":  {func(tx store.Tx) error { return tx.SetFactors(ctx, u.ID, store.Factors{Ask: true}) }},
		"PutTOTP":     {func(tx store.Tx) error { return tx.PutTOTP(ctx, app) }},
		"ConfirmTOTP": {confirm},
		"UseTOTP": {
			func(tx store.Tx) error { return errors.Join(confirm(tx), tx.UseTOTP(ctx, u.ID, app.ID, 2, w.at)) },
			func(tx store.Tx) error { return tx.UseTOTP(ctx, u.ID, "x", 2, w.at) },
		},
		"RenameTOTP": {func(tx store.Tx) error { return tx.RenameTOTP(ctx, u.ID, "x", "y") }},
		"DeleteTOTPs": {
			func(tx store.Tx) error { _, err := tx.DeleteTOTPs(ctx, u.ID, "x"); return err },
			func(tx store.Tx) error { _, err := tx.DeleteTOTPs(ctx, u.ID, ""); return err },
		},
		"SetPasskeyHandleOnce": {func(tx store.Tx) error { _, err := tx.SetPasskeyHandleOnce(ctx, u.ID, "h"); return err }},
		"CreatePasskey":        {func(tx store.Tx) error { return tx.CreatePasskey(ctx, key) }},
		"UsePasskey":           {func(tx store.Tx) error { return tx.UsePasskey(ctx, u.ID, "x", store.PasskeyState{}, w.at) }},
		"DistrustPasskey":      {func(tx store.Tx) error { return tx.DistrustPasskey(ctx, u.ID, "x") }},
		"RenamePasskey":        {func(tx store.Tx) error { return tx.RenamePasskey(ctx, u.ID, "x", "y") }},
		"DeletePasskeys": {
			func(tx store.Tx) error { _, err := tx.DeletePasskeys(ctx, u.ID, "x"); return err },
			func(tx store.Tx) error { _, err := tx.DeletePasskeys(ctx, u.ID, ""); return err },
		},
		"ReplaceRecoveryCodes": {func(tx store.Tx) error {
			return tx.ReplaceRecoveryCodes(ctx, u.ID, []store.TokenHash{hash}, w.at)
		}},
		"UseRecoveryCode": {func(tx store.Tx) error { return tx.UseRecoveryCode(ctx, u.ID, hash, w.at) }},
		"CreateHalfLogin": {
			func(tx store.Tx) error { return tx.CreateHalfLogin(ctx, half) },
			func(tx store.Tx) error { return tx.CreateHalfLogin(ctx, known) },
		},
		"TakeHalfLogin": {func(tx store.Tx) error { _, err := tx.TakeHalfLogin(ctx, hash, w.at); return err }},
		"EndHalfLogins": {func(tx store.Tx) error { return tx.EndHalfLogins(ctx, u.ID) }},
		"SetSessionLevels": {func(tx store.Tx) error {
			return tx.SetSessionLevels(ctx, u.ID, func(store.Session) store.SessionLevel {
				return store.SessionLevel{Methods: "pwd"}
			})
		}},
		"EndFlows":             {func(tx store.Tx) error { return tx.EndFlows(ctx, u.ID) }},
		"CreateFlow":           {func(tx store.Tx) error { return tx.CreateFlow(ctx, flow) }},
		"TakeFlow":             {func(tx store.Tx) error { _, err := tx.TakeFlow(ctx, hash, w.at); return err }},
		"PutDevice":            {func(tx store.Tx) error { return tx.PutDevice(ctx, hash, u.ID, w.at, later) }},
		"ForgetDevices":        {func(tx store.Tx) error { _, err := tx.ForgetDevices(ctx, u.ID, hash); return err }},
		"CreateTrustedBrowser": {func(tx store.Tx) error { return tx.CreateTrustedBrowser(ctx, browser) }},
		"UseTrustedBrowser":    {func(tx store.Tx) error { return tx.UseTrustedBrowser(ctx, hash, w.at, "", "") }},
		"ForgetTrustedBrowser": {func(tx store.Tx) error {
			return errors.Join(tx.CreateTrustedBrowser(ctx, browser), tx.ForgetTrustedBrowser(ctx, u.ID, browser.ID))
		}},
		"ForgetTrustedBrowsers": {
			func(tx store.Tx) error { _, err := tx.ForgetTrustedBrowsers(ctx, u.ID); return err },
			func(tx store.Tx) error { _, err := tx.ForgetTrustedBrowsers(ctx, u.ID, hash); return err },
		},
		"LimitTrust":    list{}, // once at a start, or when the option changes
		"UseOnce":       {func(tx store.Tx) error { _, err := tx.UseOnce(ctx, "k", "v", w.at, later); return err }},
		"Mark":          {func(tx store.Tx) error { return tx.Mark(ctx, "k", "v", later) }},
		"Marked":        {func(tx store.Tx) error { _, err := tx.Marked(ctx, "k", "v", w.at); return err }},
		"ClearAttempts": {func(tx store.Tx) error { return tx.ClearAttempts(ctx, "k") }},
		"AddEvent": {func(tx store.Tx) error {
			return tx.AddEvent(ctx, store.Event{Action: "session.sign_in", Outcome: store.Success})
		}},
		"SetSetting": {func(tx store.Tx) error { return tx.SetSetting(ctx, "k", "v") }},
		"SetSettingOnce": {func(tx store.Tx) error {
			_, err := tx.SetSettingOnce(ctx, "k", "v")
			return err
		}},
		"RecordChange":      {func(tx store.Tx) error { return tx.RecordChange(ctx, store.Change{Kind: store.ChangeAll}) }},
		"ClearUserAttempts": list{}, // reads all counts, of which there is a bounded number
	}
}

func (w written) identity() store.Identity {
	return store.Identity{Issuer: "i", Subject: "s", UserID: w.user.ID, Provider: "p"}
}

// A sign-in, a sign-out and a revocation hold up everybody else's writes for as long as they take: they read no whole
// table.
func TestChangesUseAnIndex(t *testing.T) {
	t.Parallel()
	db := testenv.SQLite(t)
	fill(t, db, 5)
	w, rollback := write(t, db), errors.New("roll back")
	changes := w.changes(t.Context())
	reads := reflect.TypeFor[store.Reader]()
	for m := range reflect.TypeFor[store.Tx]().Methods() {
		if _, isRead := reads.MethodByName(m.Name); !isRead && changes[m.Name] == nil {
			t.Errorf("%s is not checked", m.Name)
		}
	}
	for name, calls := range changes {
		for _, call := range calls {
			var rec *sqlstore.Recorder
			err := db.Change(t.Context(), func(tx store.Tx) error {
				rec = sqlstore.RecordTx(tx)
				if err := call(tx); err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
				return rollback
			})
			if !errors.Is(err, rollback) {
				t.Errorf("%s: %v", name, err)
			}
			for _, q := range rec.Take() {
				checkLookup(t, db, name, q)
			}
		}
	}
}
