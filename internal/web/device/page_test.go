package device_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/webtest"
	"github.com/gatehouse-auth/gatehouse/store"
)

// A code is shown and decided by somebody who has just proven who they are, and by a form of the site alone.
func TestOnlyAFormOfAFreshSignInDecides(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.ask()
	at := "/_auth/device?user_code=" + g.UserCode
	anybody := w.Browser()
	if to := anybody.Get("/device?user_code="+g.UserCode).Want(t, 303).Header.Get("Location"); to != "/_auth/login?to="+url.QueryEscape(at) {
		t.Errorf("nobody is led to %q", to)
	}
	decide(anybody, g.UserCode, approve).Want(t, 401)
	b := w.SignIn("tom")
	for _, path := range []string{"&decision=approve", "&decision=deny", "&decision=approve&about=" + w.tom.ID} {
		b.Get("/device?user_code="+g.UserCode+path).Want(t, 200).Shows(t, "Let this program in?")
	}
	b.With("Sec-Fetch-Site", "cross-site").With("Origin", "https://evil.test").Post("/device", url.Values{"user_code": {g.UserCode}, "decision": {approve}}).Want(t, 403)
	wantForm(t, "a link on another site", b.With("Sec-Fetch-Site", "cross-site").Get("/device?user_code="+g.UserCode), g)
	for range 10 {
		b.With("Sec-Fetch-Site", "cross-site").Get("/device?user_code="+wrongCode(g)).Want(t, 200)
	}
	b.Post("/device", url.Values{"user_code": {g.UserCode, g.UserCode}, "decision": {approve}}).Want(t, 400)
	b.Post("/device", url.Values{"user_code": {g.UserCode}, "decision": {approve, deny}}).Want(t, 400)
	decide(b, g.UserCode, "Approve").Want(t, 422)
	for _, h := range []string{"X-Frame-Options", "Content-Security-Policy"} {
		if v := b.Get("/device?user_code=" + g.UserCode).Header.Get(h); v != "DENY" && !strings.Contains(v, "frame-ancestors 'none'") {
			t.Errorf("%s: %s", h, v)
		}
	}
	w.Clock.Advance(account.FreshWindow - time.Minute)
	fresh := w.ask()
	w.Clock.Advance(time.Minute)
	reauth := "/_auth/reauth?rt=" + url.QueryEscape("/_auth/device?user_code="+fresh.UserCode)
	for name, r := range map[string]webtest.Response{
		"looking": b.Get("/device?user_code=" + strings.ToLower(fresh.UserCode)), "approving": decide(b, fresh.UserCode, approve), "denying": decide(b, fresh.UserCode, deny),
		"typing": decide(b, fresh.UserCode, ""),
	} {
		if to := r.Want(t, 303).Header.Get("Location"); to != reauth {
			t.Errorf("%s, long after the sign-in, leads to %q", name, to)
		}
	}
	if to := b.Get("/device?user_code="+url.QueryEscape("//evil.test")).Want(t, 303).Header.Get("Location"); to != "/_auth/reauth?rt=%2F_auth%2Fdevice" {
		t.Errorf("what is no code leads to %q", to)
	}
	if n := len(w.tokens()); n != 0 {
		t.Errorf("%d tokens were made", n)
	}
	back := b.Post("/reauth", url.Values{"password": {webtest.GoodPass}, "rt": {"/_auth/device?user_code=" + fresh.UserCode}})
	wantForm(t, "confirming", b.With("Sec-Fetch-Site", "same-origin").Follow(back), fresh)
	decide(b, fresh.UserCode, "").Want(t, 200).Shows(t, "Let this program in?", fresh.UserCode)
	decide(b, fresh.UserCode, approve).Want(t, 303)
	fetched(t, w.poll(fresh))
}

// wantForm fails the test unless a page is the form with a code, and tells nothing of who asks.
func wantForm(t *testing.T, name string, r webtest.Response, g grant) {
	t.Helper()
	if r.Want(t, 200); strings.Contains(r.Body, "editor") || !strings.Contains(r.Body, `value="`+g.UserCode+`"`) {
		t.Errorf("%s shows more than the code:\n%s", name, r.Body)
	}
}

// Only an address that the person has opened shows who asks at once; what anything else led to is the form, also after
// the sign-in or the confirmation that a stranger's link has begun.
func TestNothingThatLedToACodeShowsWhoAsks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.ask()
	at := "/_auth/device?user_code=" + g.UserCode
	b := w.SignIn("tom")
	for _, site := range []string{"cross-site", "same-site", "same-origin", "None", "x"} {
		wantForm(t, site, b.With("Sec-Fetch-Site", site).Get("/device?user_code="+g.UserCode), g)
	}
	for _, page := range []string{"https://evil.test/", w.Server.URL + "/_auth/login"} {
		wantForm(t, "a page before", b.With("Referer", page).Get("/device?user_code="+g.UserCode), g)
	}
	b.With("Sec-Fetch-Site", "none").Get("/device?user_code="+g.UserCode).Want(t, 200).Shows(t, "Let this program in?")
	b.Get("/device?user_code="+g.UserCode).Want(t, 200).Shows(t, "Let this program in?")
	for name, from := range map[string]*webtest.Browser{
		"Sec-Fetch-Site": w.Browser().With("Sec-Fetch-Site", "same-origin"),
		"Referer":        w.Browser().With("Referer", w.Server.URL+"/_auth/login"),
	} {
		in := from.Post("/login", url.Values{"username": {"tom"}, "password": {webtest.GoodPass}, "to": {at}}).Want(t, 303)
		wantForm(t, "signing in, by "+name, from.Follow(in), g)
	}
}

// Of wrong codes a person has five a minute, and an address five times as many; right ones are no guesses.
func TestWrongCodesAreLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.ask()
	b := w.SignIn("tom")
	look := func(b *webtest.Browser, code string) webtest.Response {
		return b.Get("/device?user_code=" + url.QueryEscape(code))
	}
	for range 20 {
		look(b, g.UserCode).Want(t, 200)
	}
	for i, code := range []string{wrongCode(g), "AAAA-AAAA", "x", strings.Repeat("B", 100)} {
		look(b, code).Want(t, 422).Shows(t, "There is no such code")
		if i == 0 {
			look(b, g.UserCode).Want(t, 200)
		}
	}
	decide(b, wrongCode(g), approve).Want(t, 422)
	for name, r := range map[string]webtest.Response{"looking": look(b, g.UserCode), "approving": decide(b, g.UserCode, approve), "denying": decide(b, g.UserCode, deny)} {
		if r.Want(t, 429); r.Header.Get("Retry-After") == "" || !strings.Contains(r.Body, g.UserCode) {
			t.Errorf("%s: %s", name, r)
		}
	}
	again := w.SignIn("tom") // another session of the same person
	look(again, g.UserCode).Want(t, 429)
	look(w.SignIn("ada"), g.UserCode).Want(t, 200)
	w.Clock.Advance(time.Minute)
	var wg sync.WaitGroup
	var tried atomic.Int32
	for range 30 {
		wg.Go(func() {
			if look(b, wrongCode(g)).Status == http.StatusUnprocessableEntity {
				tried.Add(1)
			}
		})
	}
	wg.Wait()
	if n := tried.Load(); n != 5 {
		t.Errorf("of 30 codes at once %d were looked up", n)
	}
	w.Clock.Advance(time.Minute)
	decide(b, g.UserCode, approve).Want(t, 303)
}

// However often a code is approved, denied and fetched at once, there is one decision and one token.
func TestACodeGivesOneTokenAtMost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tom, ada := w.SignIn("tom"), w.SignIn("ada")
	g := w.ask()
	var wg sync.WaitGroup
	var decided, got atomic.Int32
	for i := range 12 {
		wg.Go(func() {
			b, what := tom, approve
			switch i % 3 {
			case 1:
				b = ada
			case 2:
				what = deny
			}
			if decide(b, g.UserCode, what).Status == http.StatusSeeOther {
				decided.Add(1)
			}
		})
	}
	wg.Wait()
	for range 12 {
		wg.Go(func() {
			if w.poll(g).Status == http.StatusOK {
				got.Add(1)
			}
		})
	}
	wg.Wait()
	page, err := w.Store.Tokens(t.Context(), store.TokenQuery{})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(page.Items); decided.Load() != 1 || got.Load() != int32(n) || n > 1 {
		t.Errorf("%d decisions, %d tokens, fetched %d times", decided.Load(), n, got.Load())
	}
	w.Clock.Advance(time.Minute)
	after := w.ask()
	decide(tom, after.UserCode, approve).Want(t, 303)
	decide(tom, after.UserCode, approve).Want(t, 422).Shows(t, "approved or denied before")
	decide(tom, after.UserCode, deny).Want(t, 422)
	for range 12 {
		wg.Go(func() {
			if w.poll(after).Status == http.StatusOK {
				got.Add(100)
			}
		})
	}
	wg.Wait()
	if got.Load()/100 != 1 {
		t.Errorf("an approved one was fetched %d times", got.Load()/100)
	}
}

// What ends a token also ends one that was approved and not fetched yet.
func TestWhatEndsTokensEndsAnApprovedCode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	off := func(u *store.User) { u.Active = false }
	for name, end := range map[string]func(id string){
		"turned off":  func(string) { w.Edit(w.tom.ID, off) },
		"off and on":  func(string) { w.Edit(w.tom.ID, off); w.Edit(w.tom.ID, func(u *store.User) { u.Active = true }) },
		"reset":       func(string) { w.reset() },
		"revoked":     func(id string) { w.revoke(id) },
		"waits again": func(string) { w.Edit(w.tom.ID, func(u *store.User) { u.Pending, u.Active = true, false }) },
		"replaced":    func(id string) { w.replace(id) },
		"switched off": func(string) {
			w.Accounts.Tokens.Device = false
		},
		"deleted": func(string) {
			w.change(func(ctx context.Context, tx store.Tx) error { return tx.DeleteUser(ctx, w.tom.ID) })
		},
	} {
		w.Accounts.Tokens.Device = true
		if _, err := w.Store.User(t.Context(), w.tom.ID); err != nil {
			w.tom = w.Add("tom", store.RoleUser)
		}
		w.Edit(w.tom.ID, func(u *store.User) { u.Active, u.Pending = true, false })
		w.change(func(ctx context.Context, tx store.Tx) error {
			_, err := tx.DeleteTokens(ctx, store.TokenSelector{UserID: w.tom.ID})
			return err
		})
		b := w.SignIn("tom")
		g := w.ask()
		decide(b, g.UserCode, approve).Want(t, 303)
		end(w.tokens()[0].ID)
		wantError(t, name, w.poll(g), 400, "access_denied")
		wantError(t, name+", again", w.poll(g), 400, "access_denied")
		w.Clock.Advance(time.Minute)
	}
}

func (w *world) reset() {
	w.T.Helper()
	if _, err := w.Accounts.ResetPassword(w.T.Context(), webtest.Operator, w.tom.ID, account.Reset{Password: webtest.GoodPass}); err != nil {
		w.T.Fatal(err)
	}
}

func (w *world) revoke(id string) {
	w.T.Helper()
	if err := w.Accounts.Programs.Revoke(w.T.Context(), webtest.Operator, id); err != nil {
		w.T.Fatal(err)
	}
}

func (w *world) replace(id string) {
	w.T.Helper()
	if _, err := w.Accounts.Programs.Rotate(w.T.Context(), webtest.Operator, id, time.Hour); err != nil {
		w.T.Fatal(err)
	}
}

// Until its program comes the token lives as long as the code, counts as one of the person's, and nobody knows its text.
func TestAnApprovedTokenWaitsNoLongerThanItsCode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Accounts.Tokens.PerUser = 1
	b := w.SignIn("tom")
	g, second := w.ask(), w.ask()
	decide(b, g.UserCode, approve).Want(t, 303)
	tok := w.tokens()[0]
	if end := tok.CreatedAt.Add(10 * time.Minute); !tok.ExpiresAt.Equal(end) {
		t.Errorf("it ends at %s, not at %s", tok.ExpiresAt, end)
	}
	decide(b, second.UserCode, approve).Want(t, 409).Shows(t, "Revoke one first")
	wantError(t, "beyond the limit", w.poll(second), 400, "authorization_pending")
	w.Clock.Advance(10 * time.Minute)
	wantError(t, "after the end", w.poll(g), 400, "expired_token")
	if list := w.tokens(); len(list) != 1 || !list[0].Expired(w.Clock.Now()) {
		t.Errorf("after the end there are %+v", list)
	}
	w.Accounts.Tokens.MaxExpiry = time.Hour
	b = w.SignIn("tom")
	g = w.ask()
	b.Get("/device?user_code="+g.UserCode).Want(t, 200).Shows(t, "1 hour")
	decide(b, g.UserCode, approve).Want(t, 303)
	if got := fetched(t, w.poll(g)); got.ExpiresIn != 3600 {
		t.Errorf("with max_expiry 1h it lives %d s", got.ExpiresIn)
	}
}

// Where it is not switched on there is no page, no address and no link.
func TestWithoutTheOptionThereIsNoDeviceSignIn(t *testing.T) {
	t.Parallel()
	s := webtest.NewServices(t, "Acme", nil)
	s.Accounts.Tokens.Device = false
	w := &world{World: webtest.New(s, webtest.Config{Config: s.WebConfig()})}
	w.Serve()
	w.Add("ada", store.RoleAdmin)
	w.tom = w.Add("tom", store.RoleUser)
	b := w.SignIn("tom")
	b.Get("/device").Want(t, 404)
	decide(b, "WDJB-MJHT", approve).Want(t, 404)
	b.Post("/device/code", url.Values{"client_id": {"x"}}).Want(t, 404)
	w.poll(grant{DeviceCode: store.NewToken()}).Want(t, 404)
	if r := b.Get("/account/tokens").Want(t, 200); strings.Contains(r.Body, "/device") {
		t.Error("the page of tokens leads there")
	}
}
