package web_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/authenticator"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/webtest"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Trap 14: an app that was not confirmed is asked for nowhere; two tabs of a session show the same one; whichever begins
// last after that has the only one that can be confirmed, and the other says so and adds nothing.
func TestOfTwoTabsThatSetUpAnAppOneCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	begin := func(b *browser) string {
		return strings.TrimPrefix(b.post("/account/two-factor/totp").location(), "/_auth")
	}
	b := w.browser().signIn("ada", adaPass)
	w.Clock.Advance(time.Second) // sessions are told apart by when they began
	other := w.browser().signIn("ada", adaPass)
	left, right := begin(b), begin(b)
	if phone, again := scannedBy(b, left), scannedBy(b, right); left != right || string(phone.secret) != string(again.secret) {
		t.Errorf("two tabs show %s and %s", left, right)
	}
	w.browser().post("/login", "username", "ada", "password", adaPass).wantRedirect(t, "/") // no second step

	// Another session begins: what this one has shown is over, also with a right code.
	lost := scannedBy(b, left)
	at := begin(other)
	b.post(left, "code", lost.code()).want(t, 404, "This set-up is over")
	b.get(left).want(t, 404, "This set-up is over")
	other.get(at).want(t, 200)
	// So is what has waited for too long, once a tab begins anew.
	left = begin(b)
	lost = scannedBy(b, left)
	w.Clock.Advance(store.TOTPSetupTTL)
	b.post("/reauth", "password", adaPass)
	right = begin(b)
	b.post(left, "code", lost.code()).want(t, 404, "This set-up is over")
	b.get(right).want(t, 200)

	left, right = begin(b), begin(b)
	phone := scannedBy(b, left)
	b.post(left, "code", phone.code(), "name", "Phone").want(t, 200, "Recovery codes")
	w.Clock.Advance(time.Minute)
	b.post(right, "code", phone.code(), "name", "Tablet").wantRedirect(t, "/_auth/account/two-factor")
	b.get("/account/two-factor").want(t, 200, "set up already")
	if apps, err := w.Store.TOTPs(t.Context(), w.ada.ID); err != nil || len(apps) != 1 || apps[0].Name != "Phone" {
		t.Errorf("%+v %v", apps, err)
	}
}

// Trap 14, in a sign-in: two tabs of a half-login add one app.
func TestOfTwoTabsThatSetUpAnAppInASignInOneCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Login.Second = login.SecondFactors{Mode: login.MFARequired, GraceSet: true}
	b := w.browser()
	b.post("/login", "username", "ada", "password", adaPass, "rt", "/x").wantRedirect(t, "/_auth/login/enrol")
	begin := func() string { return strings.TrimPrefix(b.post("/login/enrol/totp").location(), "/_auth") }
	left, right := begin(), begin()
	phone, again := scannedBy(b, left), scannedBy(b, right)
	if left != right || string(phone.secret) != string(again.secret) {
		t.Errorf("two tabs show %s and %s", left, right)
	}
	tab := w.browser()
	for name, value := range b.cookies {
		tab.cookies[name] = value
	}
	b.post(left, "code", phone.code()).want(t, 200, "Recovery codes")
	a := tab.post(right, "code", phone.code())
	if tab.signedIn() || a.StatusCode == 200 {
		t.Errorf("the other tab: %d %s", a.StatusCode, a.body)
	}
	if n := w.User(w.ada.ID).Factors.TOTPs; n != 1 {
		t.Errorf("%d apps", n)
	}
}

// work counts what is asked of a store, by the name of the method.
type work struct {
	store.Store
	done map[string]int
}

func (c *work) PasskeyByCredential(ctx context.Context, rpID, id string) (store.Passkey, store.User, error) {
	c.done["PasskeyByCredential"]++
	return c.Store.PasskeyByCredential(ctx, rpID, id)
}

func (c *work) Passkeys(ctx context.Context, id string) ([]store.Passkey, error) {
	c.done["Passkeys"]++
	return c.Store.Passkeys(ctx, id)
}

func (c *work) User(ctx context.Context, id string) (store.User, error) {
	c.done["User"]++
	return c.Store.User(ctx, id)
}

func (c *work) UserByUsername(ctx context.Context, name string) (store.User, error) {
	c.done["UserByUsername"]++
	return c.Store.UserByUsername(ctx, name)
}

func (c *work) Change(ctx context.Context, fn func(store.Tx) error) error {
	c.done["Change"]++
	return c.Store.Change(ctx, fn)
}

// Trap 28: a passkey that is unknown, one of somebody whose signature is wrong, one of an account that is off, and one that
// was removed get the same status and page, for the same work: what is asked of the store is compared here, and that an
// unknown key is checked up to its signature TestAnUnknownPasskeyIsCheckedUpToItsSignature holds.
func TestARefusalDoesNotTellWhoHasAPasskey(t *testing.T) {
	t.Parallel()
	w, key, _ := withPasskey(t)
	off := w.Add("tom", store.RoleUser)
	its := authenticator.New(origin)
	w.browser().signIn("tom", webtest.GoodPass).addPasskey(its, "Laptop")
	w.Edit(off.ID, func(u *store.User) { u.Active = false })
	gone := authenticator.New(origin)
	k := w.browser().signIn("ada", adaPass).addPasskey(gone, "Old")
	w.browser().signIn("ada", adaPass).post("/account/passkeys/" + k.ID + "/remove")

	// Each is signed by another key, which claims to be the one.
	forged := func(of *authenticator.Key) *authenticator.Key {
		f := authenticator.New(origin)
		f.ID, f.Handle = of.ID, of.Handle
		return f
	}
	counted := &work{Store: w.Login.Store}
	w.Login.Store = counted
	first, did := "", map[string]int{}
	for i, name := range []string{"unknown", "of ada", "of an account that is off", "removed", "unknown handle"} {
		f := []*authenticator.Key{authenticator.New(origin), forged(key), forged(its), forged(gone), forged(key)}[i]
		if name == "unknown handle" {
			f.Handle = make([]byte, len(key.Handle))
		}
		b := w.browser()
		c := b.options("/login/passkey")
		counted.done = map[string]int{}
		a := b.post("/login/passkey", "state", c.State, "assertion", f.Get(c.PublicKey)).want(t, 401, "The passkey was not accepted")
		if i == 0 {
			first, did = withoutNonce(a.body), counted.done
			if did["PasskeyByCredential"] != 1 {
				t.Errorf("no work is seen: %v", did)
			}
			continue
		}
		if withoutNonce(a.body) != first || !reflect.DeepEqual(counted.done, did) {
			t.Errorf("%s: the store was asked %v, and %v for an unknown one; the same page: %t", name, counted.done, did,
				withoutNonce(a.body) == first)
		}
	}
}

// rows counts the rows of every table of a store.
func rows(t *testing.T, db *sql.DB) map[string]int {
	t.Helper()
	names, err := db.QueryContext(t.Context(), `SELECT name FROM sqlite_master WHERE type = 'table'`)
	if err != nil {
		names, err = db.QueryContext(t.Context(), `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`)
	}
	if err != nil {
		t.Fatal(err)
	}
	var tables []string
	for names.Next() {
		var name string
		if err := names.Scan(&name); err != nil {
			t.Fatal(err)
		}
		tables = append(tables, name)
	}
	_ = names.Close()
	if err := names.Err(); err != nil || len(tables) < 10 {
		t.Fatalf("tables %v: %v", tables, err)
	}
	count := map[string]int{}
	for _, name := range tables {
		var n int
		if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM "`+name+`"`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		count[name] = n
	}
	return count
}

// heap returns how much memory is in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what the first one has finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Trap 33: whoever looks at the sign-in page, or begins ceremonies on it, leaves no row in any table, and no memory that
// grows. The suite does it 10,000 times; FACTOR_VIEWS=100000 does what the trap names. It runs beside no other test, whose
// memory would be counted.
func TestTenThousandViewsLeaveNothing(t *testing.T) { //nolint:paralleltest // memory is measured
	views := 10_000
	if text := os.Getenv("FACTOR_VIEWS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		views = n
	}
	w, _, _ := withPasskey(t)
	db := w.Store.Maintenance()
	look := func(n int) {
		for i := range n / 2 {
			b := w.browser()
			b.get("/login?rt="+fmt.Sprintf("%%2Fpage%d", i)).want(t, 200)
			b.post("/login/passkey/options").want(t, 200)
		}
	}
	look(views / 10) // what is made once is made now
	before, inUse := rows(t, db), heap()
	look(views)
	if after := rows(t, db); !reflect.DeepEqual(before, after) {
		t.Errorf("rows before %v, and after %v", before, after)
	}
	// Two hundred bytes for each would be 2 MB: noise is far less, and what grows is more.
	if grown, most := int64(heap())-int64(inUse), int64(views)*200; grown > most {
		t.Errorf("%d views: %d bytes more are in use", views, grown)
	}
	w.browser().signIn("ada", adaPass)
	if after := rows(t, db); reflect.DeepEqual(before, after) {
		t.Error("a sign-in adds no row either: this test sees nothing")
	}
}

// What is added while a one-time link is outstanding opens nothing, and takes nothing from whoever uses the link: an app
// is the second step beside the new password and never more; codes of it sign nobody in without that; the session and the
// sign-in that added it end with the link. The owner is told, and whoever gave out the link can take it away.
func TestFactorsAddedWhileALinkIsOutstandingOpenNothing(t *testing.T) {
	t.Parallel()
	w, second := newWorld(t), "another long passphrase"
	w.Login.Second = login.SecondFactors{Mode: login.MFARequired, GraceSet: true}
	cli := account.Actor{Kind: account.CommandLine}
	link, err := w.Accounts.ResetPassword(t.Context(), cli, w.ada.ID, account.Reset{})
	if err != nil {
		t.Fatal(err)
	}
	w.Clock.Advance(time.Minute)
	thief, waits := w.browser(), w.browser()
	thief.post("/login", "username", "ada", "password", adaPass).wantRedirect(t, "/_auth/login/enrol")
	at := strings.TrimPrefix(thief.post("/login/enrol/totp").location(), "/_auth")
	phone := scannedBy(thief, at)
	codes := shownCodes(thief.post(at, "code", phone.code()).want(t, 200, "Recovery codes"))
	waits.post("/login", "username", "ada", "password", adaPass).wantRedirect(t, "/_auth/login/verify")

	owner := w.browser()
	owner.get("/link/"+link.Token).wantRedirect(t, "/_auth/welcome")
	owner.post("/welcome", "password", second).wantRedirect(t, "/_auth/login/verify")
	if owner.signedIn() || thief.signedIn() {
		t.Errorf("the owner is signed in: %t, and whoever added the app: %t", owner.signedIn(), thief.signedIn())
	}
	waits.post("/login/verify", "code", phone.code()).want(t, 401)
	w.browser().post("/login", "username", "ada", "password", adaPass).want(t, 401)
	w.browser().post("/login/verify/recovery", "recovery_code", codes[0]).wantRedirect(t, "/_auth/login")
	if waits.signedIn() {
		t.Error("a sign-in that began with the old password goes on")
	}
	reset := account.ResetMFA{TOTP: true, Codes: true}
	if _, err := w.Accounts.Factors.ResetMFA(t.Context(), cli, w.ada.ID, reset); err != nil {
		t.Fatal(err)
	}
	owner = w.browser()
	owner.post("/login", "username", "ada", "password", second).wantRedirect(t, "/_auth/login/enrol")
}
