package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/authenticator"
	"github.com/gatehouse-auth/gatehouse/store"
)

// A browser deletes a passkey when it is told that the site does not know it. So it is told of the one that its owner
// has removed, and never of one that somebody tried: after a backup was restored, that may be a good one.
func TestOnlyItsOwnersRemovalTellsTheBrowserThatAPasskeyIsGone(t *testing.T) {
	t.Parallel()
	w, key, k := withPasskey(t)
	const signal = "data-passkey-removed"
	silent := func(name string, a answer) {
		t.Helper()
		if strings.Contains(a.body, signal) {
			t.Errorf("%s: the browser is told that a passkey is gone", name)
		}
	}
	unknown := authenticator.New(origin)
	unknown.Handle = key.Handle
	silent("an unknown key", w.browser().use(unknown, "/login/passkey", "/login/passkey").want(t, 401))
	b, root := w.browser().signIn("ada", adaPass), w.browser().signIn("root", rootPass)
	silent("one that is still there", b.get("/account/passkeys?removed="+k.ID).want(t, 200))
	silent("one that never was", b.get("/account/passkeys?removed="+store.NewID(w.Clock.Now())).want(t, 200))
	b.post("/account/passkeys/"+k.ID+"/remove").wantRedirect(t, "/_auth/account/passkeys?removed="+k.ID)
	silent("somebody else's", root.get("/account/passkeys?removed="+k.ID).want(t, 200))
	silent("a sign-in with it", w.browser().use(key, "/login/passkey", "/login/passkey").want(t, 401))
	b.get("/account/passkeys?removed="+k.ID).want(t, 200, signal+`="`+k.CredentialID+`"`)
}

// The password manager is told a new name of the account once, after the change by its owner and in that browser: not where
// nothing was changed, where it was refused, by somebody else, or for a domain that the site is not in.
func TestOnlyItsOwnersChangeOfTheNameTellsTheBrowser(t *testing.T) {
	t.Parallel()
	w, _, k := withPasskey(t)
	const signal = "data-passkey-user"
	b, root := w.browser().signIn("ada", adaPass), w.browser().signIn("root", rootPass)
	silent := func(name string, who *browser) {
		t.Helper()
		if a := who.get("/account/profile").want(t, 200); strings.Contains(a.body, signal) {
			t.Errorf("%s: the browser is told", name)
		}
	}
	silent("nothing was changed", b)
	b.post("/account/profile", "name", w.User(w.ada.ID).Name)
	silent("the same name", b)
	b.post("/account/profile", "name", strings.Repeat("x", 1000)).want(t, 422)
	silent("a refused one", b)
	root.post("/account/profile", "name", "Root")
	silent("somebody without a passkey", root)
	b.post("/account/profile", "name", `Ada "the" <first>`).wantRedirect(t, "/_auth/account/profile")
	silent("another browser", w.browser().signIn("ada", adaPass))
	b.get("/account/profile").want(t, 200, signal+`="`+k.Handle+`" data-rp="`+host+`" data-name="ada" data-display="Ada &#34;the&#34; &lt;first&gt;"`)
	silent("once more", b)
	b.post("/account/profile", "name", "")
	b.get("/account/profile").want(t, 200, `data-display="ada"`)
	b.post("/account/profile", "name", "Ada")
	w.Login.Second.PasskeyDomain = "example.test"
	silent("a passkey of another domain", b)
}

// The handle that authenticators keep says nothing about its account, and does not outlive it.
func TestTheHandleOfPasskeysIsRandomAndEndsWithItsAccount(t *testing.T) {
	t.Parallel()
	w, _, k := withPasskey(t)
	for _, e := range w.AllEvents() {
		if text := fmt.Sprint(e); strings.Contains(text, k.Handle) {
			t.Errorf("the handle is in the audit log: %s", text)
		}
	}
	cli := account.Actor{Kind: account.CommandLine}
	if err := w.Accounts.Delete(t.Context(), cli, w.ada.ID); err != nil {
		t.Fatal(err)
	}
	_, _, err := w.Accounts.Create(t.Context(), cli, account.NewUser{
		Username: "ada", Email: "ada@example.test", Role: store.RoleUser, Password: adaPass, Active: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	var options struct{ User struct{ ID string } }
	again := w.browser().signIn("ada", adaPass).options("/account/passkeys")
	if err := json.Unmarshal(again.PublicKey, &options); err != nil {
		t.Fatal(err)
	}
	if len(k.Handle) < 86 || len(options.User.ID) != len(k.Handle) || options.User.ID == k.Handle {
		t.Errorf("the handle was %q and is %q", k.Handle, options.User.ID)
	}
}

// Passkeys of a host stay when a wider domain is configured: they are listed, and passwords go on as before.
func TestPasskeysOfBeforeAWiderDomainAreListed(t *testing.T) {
	t.Parallel()
	w, key, _ := withPasskey(t)
	w.Login.Second.PasskeyDomain = "example.test"
	w.browser().signIn("ada", adaPass).get("/account/passkeys").want(t, 200, "Laptop", host)
	b := w.browser()
	c := b.options("/login/passkey")
	if !strings.Contains(string(c.PublicKey), `"example.test"`) {
		t.Errorf("options %s", c.PublicKey)
	}
	b.post("/login/passkey", "state", c.State, "assertion", key.Get(c.PublicKey)).
		want(t, 401, "The passkey was not accepted")
}

// changes counts the transactions of a store that write.
type changes struct {
	store.Store
	n atomic.Int64
}

func (c *changes) Change(ctx context.Context, fn func(store.Tx) error) error {
	c.n.Add(1)
	return c.Store.Change(ctx, fn)
}

// Whoever only looks fills no store.
func TestLookingAtTheSignInWritesNothing(t *testing.T) {
	t.Parallel()
	w, _, _ := withPasskey(t)
	counted := &changes{Store: w.Login.Store}
	w.Login.Store = counted
	for range 20 {
		b := w.browser()
		b.get("/login").want(t, 200)
		b.options("/login/passkey")
	}
	if n := counted.n.Load(); n != 0 {
		t.Errorf("%d changes of the store", n)
	}
	w.browser().signIn("ada", adaPass)
	if counted.n.Load() == 0 {
		t.Error("a sign-in is not counted either: this test sees nothing")
	}
}
