package account_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/store"
)

func TestCreateWithAPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u, link, err := w.Create(w.ctx, operator, account.NewUser{
		Username: "  Ada ", Email: " ada@example.com ", Name: " Ada L. ", Groups: []string{"b", "a", " b "},
		Password: goodPass, MustChange: true, Active: true,
	})
	if err != nil || link != nil {
		t.Fatal(link, err)
	}
	if u.Username != "Ada" || u.Email != "ada@example.com" || u.Name != "Ada L." ||
		!slices.Equal(u.Groups, []string{"a", "b"}) {
		t.Errorf("not tidied: %+v", u)
	}
	if u.Role != store.RoleUser || !u.RoleGranted || !u.EmailVerified || !u.Local || !u.MustChange || !u.Active ||
		u.Origin != store.OriginLocal {
		t.Errorf("wrong account: %+v", u)
	}
	if fmt.Sprint(u) != fmt.Sprint(w.user(u.ID)) {
		t.Errorf("the answer is not what is stored:\n%v\n%v", u, w.user(u.ID))
	}
	if !w.passwordWorks(u, goodPass) {
		t.Error("the password does not work")
	}
}

func TestCreateWithoutAPasswordReturnsALinkForThreeDays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u, link, err := w.Create(w.ctx, operator, account.NewUser{Username: "ada", Active: true})
	if err != nil || link == nil {
		t.Fatal(link, err)
	}
	if want := w.clock.Now().Add(72 * time.Hour); !link.ExpiresAt.Equal(want) {
		t.Errorf("expires %v, want %v", link.ExpiresAt, want)
	}
	if u.PasswordHash != "" || !store.ValidToken(link.Token) || link.Path("/_auth") != "/_auth/link/"+link.Token {
		t.Errorf("%+v %+v", u, link)
	}
	info, err := w.LinkStatus(w.ctx, link.Token)
	if err != nil || info.State != account.LinkValid || info.Username != "ada" || info.CreatedBy != "command line" {
		t.Errorf("%+v %v", info, err)
	}
}

func TestBadFieldsAreAllNamedAndNothingIsWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	long := strings.Repeat("x", 255)
	many := make([]string, 101)
	for i := range many {
		many[i] = fmt.Sprint("g", i)
	}
	cases := []struct {
		field string
		user  account.NewUser
	}{
		{"username", account.NewUser{Username: ""}},
		{"username", account.NewUser{Username: " \t "}},
		{"username", account.NewUser{Username: long}},
		{"username", account.NewUser{Username: "a\x00b"}},
		{"username", account.NewUser{Username: "a\nb"}},
		{"username", account.NewUser{Username: "a\x7fb"}},
		{"username", account.NewUser{Username: "a\u0085b"}},
		{"username", account.NewUser{Username: "a\u2028b"}},
		{"username", account.NewUser{Username: "a\u202eb"}},
		{"username", account.NewUser{Username: "a\u200cb"}},
		{"username", account.NewUser{Username: "a\xffb"}},
		{"username", account.NewUser{Username: "admin\u034f"}},
		{"username", account.NewUser{Username: "admin\ufe0f"}},
		{"username", account.NewUser{Username: "\u3164admin"}},
		{"username", account.NewUser{Username: "admin\U000e0100"}},
		{"groups", account.NewUser{Username: "a", Groups: []string{"ad\u00admins"}}},
		{"username", account.NewUser{Username: strings.Repeat("\ufdfa", 200)}}, // folds into many more characters
		{"email", account.NewUser{Username: "a", Email: "nobody"}},
		{"email", account.NewUser{Username: "a", Email: "a@evil.com@example.com"}},
		{"email", account.NewUser{Username: "a", Email: "a b@example.com"}},
		{"email", account.NewUser{Username: "a", Email: "a@example.com\r\nBcc: b@example.com"}},
		{"email", account.NewUser{Username: "a", Email: "a\u202e@example.com"}},
		{"name", account.NewUser{Username: "a", Name: long}},
		{"name", account.NewUser{Username: "a", Name: "a\x1b[31m"}},
		{"role", account.NewUser{Username: "a", Role: "root"}},
		{"role", account.NewUser{Username: "a", Role: "Admin"}},
		{"groups", account.NewUser{Username: "a", Groups: []string{"staff,admins"}}},
		{"groups", account.NewUser{Username: "a", Groups: []string{""}}},
		{"groups", account.NewUser{Username: "a", Groups: []string{"x\ny"}}},
		{"groups", account.NewUser{Username: "a", Groups: []string{long}}},
		{"groups", account.NewUser{Username: "a", Groups: many}},
		{"password", account.NewUser{Username: "a", Password: "short"}},
		{"password", account.NewUser{Username: "a", Password: strings.Repeat(" ", 20)}},
		{"password", account.NewUser{Username: "genevieve-b", Password: "genevieve-b123"}},
		{"password", account.NewUser{Username: "a", Email: "genevieve.b@example.com", Password: "Genevieve.B!!"}},
		{"password", account.NewUser{Username: "a", Password: "orchard123456"}}, // the site's title
		{"expires", account.NewUser{Username: "a", Expires: time.Second}},
		{"expires", account.NewUser{Username: "a", Expires: -time.Hour}},
		{"expires", account.NewUser{Username: "a", Expires: 1000 * time.Hour}},
	}
	for _, c := range cases {
		_, _, err := w.Create(w.ctx, operator, c.user)
		if field(err, c.field) == "" {
			t.Errorf("%+v: %v, want the field %s", c.user, err, c.field)
		}
		if err != nil && c.user.Password != "" && strings.Contains(err.Error(), c.user.Password) {
			t.Errorf("the error repeats the password: %v", err)
		}
	}
	_, _, err := w.Create(w.ctx, operator, account.NewUser{Username: "", Email: "x", Password: "y"})
	for _, f := range []string{"username", "email", "password"} {
		if field(err, f) == "" {
			t.Errorf("all at once: %s is missing in %v", f, err)
		}
	}
	if n, err := w.Store.CountUsers(w.ctx, store.UserQuery{}); err != nil || n != 0 {
		t.Errorf("%d users, %v", n, err)
	}
}

func TestNamesOfManyKindsAreFine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, n := range []account.NewUser{
		{Username: "é" + strings.Repeat("x", 253)},
		{Username: "Jürgen Groß"},
		{Username: "名前"},
		{Username: "ada@example.com", Email: "ada@example.com"},
		{Username: "someone@local"},
		{Username: "o'neill <b>"},
		{Username: "farsi", Name: "می\u200cخواهم"}, // display names may join
	} {
		if _, _, err := w.Create(w.ctx, operator, n); err != nil {
			t.Errorf("%q: %v", n.Username, err)
		}
	}
}

// TestNoNameCatchesSomeoneElsesSignIns: a sign-in looks for a username first, then for an e-mail.
func TestNoNameCatchesSomeoneElsesSignIns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.add("ada", store.RoleUser)
	if _, _, err := w.Create(w.ctx, operator, account.NewUser{
		Username: "grace@example.org", Password: goodPass,
		Active: true,
	}); err != nil {
		t.Fatal(err)
	}
	conflict := func(err error) string {
		var c *store.ConflictError
		if errors.As(err, &c) {
			return c.Field
		}
		return fmt.Sprint(err)
	}
	cases := []struct {
		want string
		user account.NewUser
	}{
		{"username", account.NewUser{Username: "ADA"}},
		{"username", account.NewUser{Username: "ａｄａ"}}, // full width: NFKC
		{"email", account.NewUser{Username: "x", Email: "Ada@Example.com"}},
		{"username", account.NewUser{Username: "ada@example.com"}},
		{"username", account.NewUser{Username: "ADA@EXAMPLE.COM", Email: "other@example.com"}},
		{"email", account.NewUser{Username: "x", Email: "grace@example.org"}},
		{"email", account.NewUser{Username: "x", Email: "Grace@example.org"}},
	}
	for _, c := range cases {
		_, _, err := w.Create(w.ctx, operator, c.user)
		if got := conflict(err); got != c.want {
			t.Errorf("create %q %q: %s, want a conflict of %s", c.user.Username, c.user.Email, got, c.want)
		}
	}
	other := w.add("other", store.RoleUser)
	for name, p := range map[string]account.Patch{
		"username": {Username: ptr("ADA@example.com")},
		"email":    {Email: ptr("GRACE@example.org")},
	} {
		if _, err := w.Update(w.ctx, operator, other.ID, p); conflict(err) != name {
			t.Errorf("update %s: %v", name, err)
		}
	}
	if _, err := w.Update(w.ctx, operator, ada.ID, account.Patch{Username: ptr("ada@example.com")}); err != nil {
		t.Errorf("one's own e-mail as username: %v", err)
	}
	// An account from a provider signs in by no e-mail here, until it gets a password.
	foreign := w.add("foreign", store.RoleUser)
	w.change(func(tx store.Tx) error {
		if err := tx.SetPassword(w.ctx, foreign.ID, store.PasswordChange{At: w.clock.Now()}); err != nil {
			return err
		}
		u, err := tx.User(w.ctx, foreign.ID)
		if err != nil {
			return err
		}
		u.Local = false
		_, err = tx.UpdateUser(w.ctx, u)
		return err
	})
	if _, err := w.Update(w.ctx, operator, foreign.ID, account.Patch{Email: ptr("grace@example.org")}); err != nil {
		t.Errorf("an e-mail that identifies nobody: %v", err)
	}
	if _, err := w.ResetPassword(w.ctx, operator, foreign.ID,
		account.Reset{Password: otherPass}); conflict(err) != "email" {
		t.Errorf("a password would make that e-mail count: %v", err)
	}
	if _, err := w.ResetPassword(w.ctx, operator, foreign.ID, account.Reset{}); conflict(err) != "email" {
		t.Errorf("so would a link: %v", err)
	}
}

func TestUpdateWritesWhatChangedAndSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("root", store.RoleAdmin)
	ada := w.add("ada", store.RoleUser)
	ada = w.edit(ada.ID, func(u *store.User) { u.RoleGranted, u.EmailVerified = false, false })
	_, _, a := w.signIn("root", goodPass)

	// The whole form comes back unchanged: nothing is written, and the role was not granted.
	u, err := w.Update(w.ctx, a, ada.ID, account.Patch{
		Username: &ada.Username, Email: &ada.Email, Name: &ada.Name, Role: &ada.Role, Groups: &ada.Groups,
		Active: &ada.Active,
	})
	if err != nil || fmt.Sprint(u) != fmt.Sprint(ada) || fmt.Sprint(w.user(ada.ID)) != fmt.Sprint(ada) {
		t.Errorf("no change: %v\n%v\n%v", err, ada, u)
	}
	if ev := w.events(store.EventQuery{Action: "user.update"}); len(ev) != 0 {
		t.Errorf("no change was audited: %v", ev)
	}

	u, err = w.Update(w.ctx, a, ada.ID, account.Patch{
		Email: ptr("ada@new.example"), Role: ptr(store.RoleAdmin),
		Groups: ptr([]string{"z", "a"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if !u.RoleGranted || !u.EmailVerified || u.Role != store.RoleAdmin || !slices.Equal(u.Groups, []string{"a", "z"}) ||
		u.Version == ada.Version {
		t.Errorf("%+v", u)
	}
	ev := w.events(store.EventQuery{Action: "user.update"})
	if len(ev) != 1 {
		t.Fatalf("%d events", len(ev))
	}
	e := ev[0]
	if e.Actor != "root" || e.ActorID != a.UserID || e.TargetID != ada.ID || e.Target != "ada" ||
		e.Outcome != store.Success || e.IP != "192.0.2.7" || e.RequestID != "req-1" {
		t.Errorf("%+v", e)
	}
	for k, want := range map[string]string{
		"before.role": "user", "after.role": "admin", "after.groups": "a,z",
		"before.email": "ada@example.com", "after.email": "ada@new.example",
	} {
		if e.Details[k] != want {
			t.Errorf("detail %s = %q, want %q", k, e.Details[k], want)
		}
	}
	if _, said := e.Details["after.name"]; said {
		t.Error("the event names what did not change")
	}
}

func TestAPinnedRoleIsGivenHere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.add("ada", store.RoleUser)
	w.edit(ada.ID, func(u *store.User) { u.RoleGranted = false })
	u, err := w.Update(w.ctx, operator, ada.ID, account.Patch{Role: ptr(store.RoleUser), PinRole: true})
	if err != nil || !u.RoleGranted {
		t.Errorf("%+v %v", u, err)
	}
}

func TestUpdateRefusesAStaleVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.add("ada", store.RoleUser)
	if _, err := w.Update(w.ctx, operator, ada.ID, account.Patch{Name: ptr("one"), Version: ada.Version}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Update(w.ctx, operator, ada.ID, account.Patch{Name: ptr("two"), Version: ada.Version}); !errors.Is(err,
		store.ErrStale) {
		t.Errorf("%v, want ErrStale", err)
	}
	if u, err := w.Update(w.ctx, operator, ada.ID, account.Patch{Name: ptr("three")}); err != nil || u.Name != "three" {
		t.Errorf("without a version the last write wins: %v", err)
	}
	if _, err := w.Update(w.ctx, operator, store.NewID(w.clock.Now()), account.Patch{Name: ptr("x")}); !errors.Is(err,
		store.ErrNotFound) {
		t.Errorf("an unknown id: %v", err)
	}
}

func TestDeactivationEndsSessionsForGood(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("root", store.RoleAdmin)
	ada := w.add("ada", store.RoleUser)
	token, _, _ := w.signIn("ada", goodPass)
	if !w.lives(token) {
		t.Fatal("not signed in")
	}
	if _, err := w.Update(w.ctx, operator, ada.ID, account.Patch{Active: ptr(false)}); err != nil {
		t.Fatal(err)
	}
	if w.lives(token) {
		t.Error("the session outlived the deactivation")
	}
	if _, err := w.Update(w.ctx, operator, ada.ID, account.Patch{Active: ptr(true)}); err != nil {
		t.Fatal(err)
	}
	if w.lives(token) {
		t.Error("re-activation revived the session")
	}
}

func TestDeletionEndsSessionsAndKeepsTheAuditLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("root", store.RoleAdmin)
	ada := w.add("ada", store.RoleUser)
	token, _, _ := w.signIn("ada", goodPass)
	if err := w.Delete(w.ctx, operator, ada.ID); err != nil {
		t.Fatal(err)
	}
	if w.lives(token) {
		t.Error("the session outlived its user")
	}
	if err := w.Delete(w.ctx, operator, ada.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("twice: %v", err)
	}
	if ev := w.events(store.EventQuery{UserID: ada.ID, Action: "user.delete"}); len(ev) != 1 ||
		ev[0].Details["before.username"] != "ada" {
		t.Errorf("audit: %v", ev)
	}
}

func TestActivationAdmitsThePending(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.add("ada", store.RoleUser)
	w.edit(ada.ID, func(u *store.User) { u.Pending = true })
	u, err := w.Update(w.ctx, operator, ada.ID, account.Patch{Active: ptr(true)})
	if err != nil || u.Pending || !u.Active {
		t.Errorf("%+v %v", u, err)
	}
}

func TestARoleChangeActsOnTheNextRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.add("ada", store.RoleUser)
	token, _, _ := w.signIn("ada", goodPass)
	if _, err := w.Update(w.ctx, operator, ada.ID, account.Patch{
		Role:   ptr(store.RoleAdmin),
		Groups: ptr([]string{"ops"}),
	}); err != nil {
		t.Fatal(err)
	}
	l, err := w.Sessions.Resolve(w.ctx, token)
	if err != nil || l.User.Role != store.RoleAdmin || !slices.Equal(l.User.Groups, []string{"ops"}) {
		t.Errorf("%+v %v", l, err)
	}
}
