package login_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/store"
)

const month = 30 * 24 * time.Hour

// trusting returns a world in which browsers may be trusted for a month, and the secret of ada's authenticator app.
func trusting(t *testing.T) (w *world, secret []byte) {
	t.Helper()
	w = newWorld(t)
	w.Second.TrustBrowser = month
	secret, _ = w.addApp(w.user)
	return w, secret
}

// trust signs somebody in by a code, who asks for the browser to be trusted, and returns the browser of then.
func (w *world) trust(c login.Client, name string, secret []byte) (login.Client, login.SignedIn) {
	w.t.Helper()
	c.TrustBrowser = true
	in, got := w.verify(c, w.begin(c, name), w.code(secret))
	if got != "in" {
		w.t.Fatalf("the second step: %s", got)
	}
	c.TrustBrowser = false
	if in.Trusted != "" {
		c.Trusted = login.ParseTrusted(in.Trusted)
	}
	return c, in
}

// asked reports whether a sign-in with a password has a second step.
func (w *world) asked(c login.Client, name string) bool {
	w.t.Helper()
	return w.signIn(c, name).Step != nil
}

func TestATrustedBrowserStandsInForTheSecondStep(t *testing.T) {
	t.Parallel()
	w, secret := trusting(t)
	c, first := w.trust(from("192.0.2.1"), "ada", secret)
	if len(c.Trusted) != 1 || m(first).Has(assurance.Trusted) {
		t.Fatalf("%d tokens; the session in which it was trusted has %q", len(c.Trusted), first.Session.Methods)
	}
	w.clock.Advance(29 * 24 * time.Hour)
	in := w.signIn(c, "ada")
	if in.Step != nil || in.Trusted != "" || m(in).Shown() != "pwd trusted mfa" || m(in).Level() != assurance.Two {
		t.Fatalf("a second step: %v; methods %q", in.Step != nil, in.Session.Methods)
	}
	live, err := w.Sessions.Resolve(t.Context(), in.Token)
	if err != nil || !live.Session.MFAAt.Equal(first.Session.MFAAt.Truncate(time.Millisecond)) {
		t.Fatalf("the second factor was proved at %v, and counts as of %v, %v", first.Session.MFAAt, live.Session.MFAAt, err)
	}
	now := w.clock.Now()
	for _, c := range []struct {
		need assurance.Need
		want assurance.Lack
	}{
		{assurance.Need{Level: assurance.Two}, assurance.LacksNothing},
		{assurance.Fresh(time.Hour), assurance.LacksNothing},
		{assurance.FreshFactor(time.Hour), assurance.LacksAge},
		{assurance.Need{Level: assurance.PhishingResistant}, assurance.LacksLevel},
	} {
		if got := c.need.Lacks(live.Proof(), now); got != c.want {
			t.Errorf("%+v: %v", c.need, got)
		}
	}
	list, err := w.Store.TrustedBrowsers(t.Context(), w.user.ID)
	if err != nil || len(list) != 1 || !list[0].SeenAt.Equal(now.UTC().Truncate(time.Millisecond)) {
		t.Errorf("%+v, %v", list, err)
	}
	w.clock.Advance(24 * time.Hour) // the sign-in has not made it last longer
	if !w.asked(c, "ada") {
		t.Error("the trust lasts longer than it was given for")
	}
}

func m(in login.SignedIn) assurance.Methods { return assurance.Methods(in.Session.Methods) }

func TestOnlyAFactorThatIsProvedMakesABrowserTrusted(t *testing.T) {
	t.Parallel()
	c := from("192.0.2.1")
	c.TrustBrowser = true
	for name, try := range map[string]func(w *world, secret []byte, codes []string) login.SignedIn{
		"a password": func(w *world, _ []byte, _ []string) login.SignedIn { return w.signIn(c, "bob") },
		"a recovery code": func(w *world, _ []byte, codes []string) login.SignedIn {
			in, err := w.VerifyRecoveryCode(t.Context(), c, w.begin(c, "ada"), codes[0])
			if err != nil {
				t.Error(err)
			}
			return in
		},
		"a code, without asking": func(w *world, secret []byte, _ []string) login.SignedIn {
			in, _ := w.verify(from("192.0.2.1"), w.begin(c, "ada"), w.code(secret))
			return in
		},
		"a code where the option is off": func(w *world, secret []byte, _ []string) login.SignedIn {
			w.Second.TrustBrowser = 0
			in, _ := w.verify(c, w.begin(c, "ada"), w.code(secret))
			return in
		},
		"a code of an administrator who has to have one": func(w *world, secret []byte, _ []string) login.SignedIn {
			w.Second.Mode = login.MFAAdmins
			w.makeAdmin(w.user)
			in, _ := w.verify(c, w.begin(c, "ada"), w.code(secret))
			return in
		},
	} {
		w := newWorld(t)
		w.Second.TrustBrowser = month
		w.add("bob", "bob@example.com")
		secret, codes := w.addApp(w.user)
		in := try(w, secret, codes)
		list, err := w.Store.TrustedBrowsers(t.Context(), w.user.ID)
		if in.Token == "" || in.Trusted != "" || err != nil || len(list) > 0 {
			t.Errorf("%s: signed in: %v; trusted: %q; %d rows, %v", name, in.Token != "", in.Trusted, len(list), err)
		}
	}
}

func (w *world) makeAdmin(u store.User) {
	w.t.Helper()
	w.change(func(tx store.Tx) error {
		u, err := tx.User(w.t.Context(), u.ID)
		if err != nil {
			return err
		}
		u.Role, u.RoleGranted = store.RoleAdmin, true
		_, err = tx.UpdateUser(w.t.Context(), u)
		return err
	})
}

// A cookie of one browser may hold the trust of several people, a few, and each of them has only their own.
func TestACookieOfAnotherTrustsNobodyElse(t *testing.T) {
	t.Parallel()
	w, secret := trusting(t)
	one := from("192.0.2.1")
	one, _ = w.trust(one, "ada", secret)
	adas := one.Trusted[0]
	secrets := map[string][]byte{"ada": secret}
	for _, name := range []string{"bob", "eve", "dan", "kim"} {
		secrets[name], _ = w.addApp(w.add(name, name+"@example.com"))
		if !w.asked(one, name) {
			t.Errorf("%s is signed in by the trust of others", name)
		}
		before := one.Trusted
		one, _ = w.trust(one, name, secrets[name])
		if len(one.Trusted) > 4 || slices.Contains(before, one.Trusted[0]) || w.asked(one, name) {
			t.Errorf("%s: %d tokens", name, len(one.Trusted))
		}
	}
	if slices.Contains(one.Trusted, adas) || !w.asked(one, "ada") || w.asked(one, "bob") {
		t.Error("of five people in a browser, the first is not the one who is asked again")
	}
	planted := from("192.0.2.2")
	planted.Trusted = []string{store.NewToken(), adas}
	again, in := w.trust(planted, "eve", secrets["eve"])
	if strings.Contains(in.Trusted, planted.Trusted[0]) || !strings.Contains(in.Trusted, adas) || len(again.Trusted) != 2 {
		t.Error("a token that the server has not made is adopted, or another's is dropped")
	}
	for _, value := range []string{"", ".", "x.y", strings.Repeat("a", 43), strings.Repeat(store.NewToken()+".", 1000)} {
		c := from("192.0.2.3")
		if c.Trusted = login.ParseTrusted(value); len(c.Trusted) > 4 || !w.asked(c, "ada") {
			t.Errorf("%d tokens are read, or trusted", len(c.Trusted))
		}
	}
}

// What trust was given for may be shortened or switched off meanwhile, and its people may come to have to prove a factor
// each time. It counts at once, for sign-ins and for sessions that stand on it.
func TestTrustCountsAsTheConfigurationIsNow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(w *world)
		asked  bool
	}{
		"nothing":         {func(*world) {}, false},
		"longer":          {func(w *world) { w.Second.TrustBrowser = 2 * month }, false},
		"shortened a bit": {func(w *world) { w.Second.TrustBrowser = 15 * 24 * time.Hour }, false},
		"shortened":       {func(w *world) { w.Second.TrustBrowser = 10 * 24 * time.Hour }, true},
		"off":             {func(w *world) { w.Second.TrustBrowser = 0 }, true},
		"mfa off":         {func(w *world) { w.Second.Mode = login.MFAOff }, false}, // nobody is asked then
		"required":        {func(w *world) { w.Second.Mode = login.MFARequired }, false},
		"admins":          {func(w *world) { w.Second.Mode = login.MFAAdmins }, false},
	} {
		w, secret := trusting(t)
		browser, _ := w.trust(from("192.0.2.1"), "ada", secret)
		w.clock.Advance(14 * 24 * time.Hour)
		in := w.signIn(browser, "ada")
		c.change(w)
		if got := w.asked(browser, "ada"); got != c.asked {
			t.Errorf("%s: asked %v", name, got)
		}
		live, err := w.Sessions.Peek(t.Context(), in.Token)
		if err != nil {
			t.Fatal(err)
		}
		acting := w.Second.Acting(live)
		stands := !c.asked && name != "mfa off"
		if got := acting.Level() == assurance.Two; got != stands || stands == acting.Session.MFAAt.IsZero() {
			t.Errorf("%s: a session that stands on it has %s, %v", name, acting.Session.Methods, acting.Session.MFAAt)
		}
	}
	admin := store.User{Role: store.RoleAdmin}
	for mode, may := range map[login.MFAMode]bool{
		login.MFAOptional: true, login.MFAOff: false, login.MFAAdmins: false, login.MFARequired: false,
	} {
		if got := (login.SecondFactors{Mode: mode, TrustBrowser: month}).MayTrust(admin); got != may {
			t.Errorf("an administrator, mode %d: %v", mode, got)
		}
	}
	if (login.SecondFactors{Groups: []string{"a"}, TrustBrowser: month}).MayTrust(store.User{Role: store.RoleAdmin, Groups: []string{"a"}}) ||
		(login.SecondFactors{TrustBrowser: month}).MayTrust(store.User{Kind: store.KindService}) {
		t.Error("an administrator who has to have a factor, or a service account, may have a browser trusted")
	}
}

// A session keeps what was proved in it when the trust that it began with is not believed any more.
func TestASessionKeepsWhatWasProvedInIt(t *testing.T) {
	t.Parallel()
	w, secret := trusting(t)
	browser, _ := w.trust(from("192.0.2.1"), "ada", secret)
	in := w.signIn(browser, "ada")
	live, err := w.Sessions.Resolve(t.Context(), in.Token)
	if err != nil {
		t.Fatal(err)
	}
	in, err = w.StepUpCode(t.Context(), browser, live, w.code(secret))
	if err != nil || m(in).Shown() != "pwd otp trusted mfa" || in.Trusted != "" {
		t.Fatalf("%q, %v", in.Session.Methods, err)
	}
	if live, err = w.Sessions.Resolve(t.Context(), in.Token); err != nil {
		t.Fatal(err)
	}
	w.Second.TrustBrowser = 0
	acting := w.Second.Acting(live)
	if acting.Session.Methods != "pwd otp mfa" || acting.Session.MFAAt.IsZero() {
		t.Errorf("%q, %v", acting.Session.Methods, acting.Session.MFAAt)
	}
	if live.Session.Methods != "pwd otp trusted mfa" {
		t.Error("the session that others share was changed")
	}
}

func TestALinkIsNeverEnoughInATrustedBrowser(t *testing.T) {
	t.Parallel()
	w, secret := trusting(t)
	browser, _ := w.trust(from("192.0.2.1"), "ada", secret)
	u, err := w.Store.User(t.Context(), w.user.ID)
	if err != nil {
		t.Fatal(err)
	}
	in, err := w.SignIn(t.Context(), browser, login.Proof{User: u}, login.SignInOptions{Method: login.MethodLink})
	if err != nil || in.Step == nil || in.Step.Purpose != store.HalfLoginVerify {
		t.Errorf("a link in a trusted browser: %+v, %v", in.Step, err)
	}
	if w.asked(browser, "ada") {
		t.Error("with the password it is not trusted either: nothing was tested")
	}
}

// The trust that there was when the sign-in began may have ended when its transaction runs.
func TestTrustIsCheckedInTheTransactionOfTheSignIn(t *testing.T) {
	t.Parallel()
	w, secret := trusting(t)
	browser, _ := w.trust(from("192.0.2.1"), "ada", secret)
	w.Store = forgetting{w.Store, w.user.ID}
	in := w.signIn(browser, "ada")
	if in.Step == nil || in.Token != "" {
		t.Errorf("signed in with %q by trust that has ended", in.Session.Methods)
	}
}

// forgetting is a store that ends the trust in a user's browsers before each change.
type forgetting struct {
	store.Store
	userID string
}

func (s forgetting) Change(ctx context.Context, fn func(tx store.Tx) error) error {
	err := s.Store.Change(ctx, func(tx store.Tx) error {
		_, err := tx.ForgetTrustedBrowsers(ctx, s.userID)
		return err
	})
	if err != nil {
		return err
	}
	return s.Store.Change(ctx, fn)
}

func TestAStoreThatCannotTellTrustsNoBrowser(t *testing.T) {
	t.Parallel()
	w, secret := trusting(t)
	browser, _ := w.trust(from("192.0.2.1"), "ada", secret)
	w.Store = blind{w.Store}
	p, err := w.CheckPassword(t.Context(), browser, "ada", right)
	if err != nil {
		t.Fatal(err)
	}
	in, err := w.SignIn(t.Context(), browser, p, login.SignInOptions{Method: login.MethodLocal})
	if err == nil || in.Token != "" {
		t.Errorf("signed in with %q, %v", in.Session.Methods, err)
	}
}

// blind is a store that fails to look trusted browsers up.
type blind struct{ store.Store }

func (blind) TrustedBrowser(context.Context, store.TokenHash) (store.TrustedBrowser, error) {
	return store.TrustedBrowser{}, store.ErrUnavailable
}

// Of a provider that vouches for nothing, too, the trusted browser stands in for the second step.
func TestATrustedBrowserStandsInAfterAProvider(t *testing.T) {
	t.Parallel()
	w, secret := trusting(t)
	browser, _ := w.trust(from("192.0.2.1"), "ada", secret)
	u, err := w.Store.User(t.Context(), w.user.ID)
	if err != nil {
		t.Fatal(err)
	}
	in, err := w.SignIn(t.Context(), browser, login.Proof{User: u}, login.SignInOptions{
		Method: "oidc", Provider: "work", Issuer: "https://idp.test", Subject: "1", AuthAt: w.clock.Now(),
	})
	if err != nil || in.Step != nil || m(in).Shown() != "ext trusted mfa" {
		t.Errorf("%q, a second step: %v, %v", in.Session.Methods, in.Step != nil, err)
	}
}
