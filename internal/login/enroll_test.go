package login_test

import (
	"errors"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/totp"
	"github.com/gatehouse-auth/gatehouse/store"
)

// What comes after the first step, for each way in, state of factors, and policy.
func TestWhatComesAfterTheFirstStep(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, tc := range []struct {
		name    string
		config  login.SecondFactors
		admin   bool
		group   string
		app     bool
		waited  time.Duration
		invited bool
		method  assurance.Methods
		want    store.HalfLoginPurpose
	}{
		{name: "optional, none"},
		{name: "optional, an app", app: true, want: store.HalfLoginVerify},
		{name: "optional, an app, both factors at the provider", app: true, method: assurance.Of(assurance.External).Vouched(false)},
		{name: "off, an app", config: login.SecondFactors{Mode: login.MFAOff}, app: true},
		{name: "required, in grace", config: login.SecondFactors{Mode: login.MFARequired}, want: store.HalfLoginOffer},
		{
			name: "required, grace over", config: login.SecondFactors{Mode: login.MFARequired}, waited: 14 * day,
			want: store.HalfLoginEnroll,
		},
		{
			name: "required, grace nearly over", config: login.SecondFactors{Mode: login.MFARequired}, waited: 14*day - time.Minute,
			want: store.HalfLoginOffer,
		},
		{
			name: "required, grace made shorter", config: login.SecondFactors{Mode: login.MFARequired, Grace: 0, GraceSet: true},
			waited: day, want: store.HalfLoginEnroll,
		},
		{name: "required, an administrator", config: login.SecondFactors{Mode: login.MFARequired}, admin: true, want: store.HalfLoginEnroll},
		{
			name:   "required, an administrator, with a grace for everybody",
			config: login.SecondFactors{Mode: login.MFARequired, Grace: day, GraceSet: true}, admin: true, want: store.HalfLoginOffer,
		},
		{name: "required, invited", config: login.SecondFactors{Mode: login.MFARequired}, invited: true, want: store.HalfLoginEnroll},
		{name: "admins, a user", config: login.SecondFactors{Mode: login.MFAAdmins}},
		{name: "admins, an administrator", config: login.SecondFactors{Mode: login.MFAAdmins}, admin: true, want: store.HalfLoginEnroll},
		{
			name: "a group, a member", config: login.SecondFactors{Groups: []string{"ops"}}, group: "ops",
			want: store.HalfLoginOffer,
		},
		{name: "a group, another", config: login.SecondFactors{Groups: []string{"ops"}}, group: "opsx"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w, c := newWorld(t), from("192.0.2.1")
			w.Second = tc.config
			u := w.user
			w.change(func(tx store.Tx) (err error) {
				if tc.admin {
					u.Role, u.RoleGranted = store.RoleAdmin, true
				}
				if tc.group != "" {
					u.Groups = []string{tc.group}
				}
				u, err = tx.UpdateUser(t.Context(), u)
				return err
			})
			if tc.app {
				w.addApp(u)
			}
			if tc.waited > 0 {
				w.Second = login.SecondFactors{Mode: login.MFARequired, Grace: 14 * 24 * time.Hour, GraceSet: true}
				w.signIn(c, "ada") // the one that begins the grace
				w.Second = tc.config
				w.clock.Advance(tc.waited)
			}
			via := login.SignInOptions{Method: login.MethodLocal, Methods: tc.method}
			if tc.invited {
				via.Method = login.MethodLink
			}
			p, err := w.CheckPassword(t.Context(), c, "ada", right)
			if err != nil {
				t.Fatal(err)
			}
			in, err := w.SignIn(t.Context(), c, p, via)
			if err != nil {
				t.Fatal(err)
			}
			if in.Step == nil && tc.want != "" || in.Step != nil && in.Step.Purpose != tc.want {
				t.Errorf("next is %+v, want %q", in.Step, tc.want)
			}
			if (in.Token == "") != (in.Step != nil) {
				t.Error("there is a session beside a step, or neither")
			}
		})
	}
}

func TestASignInEndsWithAFactorThatWasJustAdded(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t), from("192.0.2.1")
	w.Second = login.SecondFactors{Mode: login.MFARequired, GraceSet: true}
	token, other := w.begin(c, "ada"), w.begin(c, "ada")
	app, secret, err := w.BeginEnrollment(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if again, same, err := w.BeginEnrollment(t.Context(), token); err != nil || again.ID != app.ID || string(same) != string(secret) {
		t.Errorf("begun again: another secret, or %v", err)
	}
	// Somebody else who knows the password does not see the secret that its owner is about to confirm.
	if _, _, err := w.Enrollment(t.Context(), other, app.ID); w.outcome(err) != "not found" {
		t.Errorf("in another browser: %v", err)
	}
	if _, err := w.ConfirmEnrollment(t.Context(), c, other, app.ID, w.code(secret), "x"); w.outcome(err) != "not found" {
		t.Errorf("confirmed in another browser: %v", err)
	}
	if _, got := w.verify(c, token, w.code(secret)); got != "over" {
		t.Errorf("the code of an app that is not confirmed: %s", got)
	}
	if _, err := w.SkipEnrollment(t.Context(), c, token); w.outcome(err) != "over" {
		t.Errorf("put off when the grace is over: %v", err)
	}
	var wrong *login.WrongCodeError
	_, err = w.ConfirmEnrollment(t.Context(), c, token, app.ID, totp.Code(secret, totp.Step(w.clock.Now())+6), "phone")
	if !errors.As(err, &wrong) || wrong.ClockOff != 3*time.Minute {
		t.Errorf("the code of an app whose clock is three minutes ahead: %v", err)
	}
	in, err := w.ConfirmEnrollment(t.Context(), c, token, app.ID, w.code(secret), "phone")
	if err != nil || len(in.Codes) != 10 || in.Token == "" {
		t.Fatalf("%v, %d recovery codes", err, len(in.Codes))
	}
	if m := assurance.Methods(in.Session.Methods); m.Shown() != "pwd otp mfa" {
		t.Errorf("methods %q", m)
	}
	// The other sign-in of somebody who only knows the password cannot add one beside it.
	if _, _, err := w.BeginEnrollment(t.Context(), other); w.outcome(err) != "exists" {
		t.Errorf("a second enrollment: %v", err)
	}
	if _, got := w.verify(c, w.begin(c, "ada"), w.code(secret)); got != "in" {
		t.Errorf("the next sign-in: %s", got)
	}
}

func TestAnOfferMayBePutOffUntilTheGraceEnds(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t), from("192.0.2.1")
	w.Second = login.SecondFactors{Mode: login.MFARequired, Grace: time.Hour, GraceSet: true}
	due := w.clock.Now().Add(time.Hour)
	token := w.begin(c, "ada")
	if st, err := w.HalfLogin(t.Context(), token); err != nil || st.DueAt.Sub(due).Abs() > time.Second {
		t.Errorf("due at %v, %v, want %v", st.DueAt, err, due)
	}
	in, err := w.SkipEnrollment(t.Context(), c, token)
	if err != nil || assurance.Methods(in.Session.Methods).Level() != assurance.One || !in.Session.MFAAt.IsZero() {
		t.Fatalf("put off: %+v, %v", in.Session, err)
	}
	w.clock.Advance(59 * time.Minute)
	if in := w.signIn(c, "ada"); in.Step == nil || in.Step.Purpose != store.HalfLoginOffer {
		t.Error("the grace began anew, or ended early")
	}
	w.clock.Advance(2 * time.Minute)
	if in := w.signIn(c, "ada"); in.Step == nil || in.Step.Purpose != store.HalfLoginEnroll {
		t.Error("the grace does not end")
	}
}

// An offer that was made a while ago is judged by what holds when it is put off.
func TestAnOfferIsOverWhenItCannotBePutOffAnyMore(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(w *world){
		"the grace has ended": func(w *world) { w.clock.Advance(10 * time.Minute) },
		"an administrator has none": func(w *world) {
			w.Second.GraceSet = false
			w.change(func(tx store.Tx) error {
				u, err := tx.User(t.Context(), w.user.ID)
				if err == nil {
					u.Role = store.RoleAdmin
					_, err = tx.UpdateUser(t.Context(), u)
				}
				return err
			})
		},
		"another configuration": func(w *world) { w.Second.Grace = 0 },
	} {
		w, c := newWorld(t), from("192.0.2.1")
		w.Second = login.SecondFactors{Mode: login.MFARequired, Grace: 9 * time.Minute, GraceSet: true}
		token := w.begin(c, "ada")
		change(w)
		if _, err := w.SkipEnrollment(t.Context(), c, token); w.outcome(err) != "over" {
			t.Errorf("%s: %v", name, err)
		}
		if in := w.signIn(c, "ada"); in.Step == nil || in.Step.Purpose != store.HalfLoginEnroll {
			t.Errorf("%s: the next sign-in leads to %+v", name, in.Step)
		}
	}
}

// When a factor goes, so does the time at which it was proved: a recovery code that is left is no proof of one.
func TestTheTimeOfAFactorGoesWithIt(t *testing.T) {
	t.Parallel()
	for before, want := range map[assurance.Methods]bool{
		assurance.Of("pwd", "otp", "rc"): false, assurance.Of("pwd", "otp", "pop"): true,
		assurance.Of("ext", "otp").Vouched(false): true, assurance.Of("pwd", "otp"): false, assurance.Of("pwd", "pop"): true,
	} {
		w, c := newWorld(t), from("192.0.2.1")
		in := w.signIn(c, "ada")
		w.change(func(tx store.Tx) error {
			err := tx.SetSessionLevels(t.Context(), w.user.ID, func(store.Session) store.SessionLevel {
				return store.SessionLevel{Methods: string(before), MFAAt: w.clock.Now()}
			})
			return errors.Join(err, login.RemoveMethods(t.Context(), tx, w.user.ID, assurance.TOTP))
		})
		l, err := w.Sessions.Resolve(t.Context(), in.Token)
		if err != nil || l.Session.MFAAt.IsZero() == want {
			t.Errorf("%q: a second factor was proved at %v, %v", before, l.Session.MFAAt, err)
		}
	}
}

// An invitation leads through adding a factor at once, and so does the password that was set with it: there is no grace
// for whoever leaves in between.
func TestWhoeverWasInvitedGetsNoGraceByLeaving(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t), from("192.0.2.1")
	w.Second = login.SecondFactors{Mode: login.MFARequired}
	in, err := w.SignIn(t.Context(), c, login.Proof{User: w.user}, login.SignInOptions{Method: login.MethodLink})
	if err != nil || in.Step == nil || in.Step.Purpose != store.HalfLoginEnroll {
		t.Fatalf("the invitation: %+v, %v", in.Step, err)
	}
	w.clock.Advance(time.Minute)
	if in := w.signIn(c, "ada"); in.Step == nil || in.Step.Purpose != store.HalfLoginEnroll {
		t.Errorf("with the password afterwards: %+v", in.Step)
	}
}
