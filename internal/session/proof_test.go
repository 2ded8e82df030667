package session_test

import (
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// A token is worth two factors if its session was, and never more; what no person has made, or nobody knows, is worth one.
func TestALevelIsThatOfTheSessionOrOfTheOneThatMadeTheToken(t *testing.T) {
	t.Parallel()
	two := string(assurance.Of(assurance.Password, assurance.TOTP))
	strong := string(assurance.Of(assurance.Passkey, assurance.UserVerified))
	now := time.Now()
	for name, c := range map[string]struct {
		live session.Live
		want assurance.Level
	}{
		"before there were levels": {session.Live{}, assurance.One},
		"a password":               {session.Live{Session: store.Session{Methods: "pwd"}}, assurance.One},
		"two factors":              {session.Live{Session: store.Session{Methods: two}}, assurance.Two},
		"a passkey":                {session.Live{Session: store.Session{Methods: strong}}, assurance.PhishingResistant},
		"words of a newer version": {session.Live{Session: store.Session{Methods: "pwd mfa phr aal2"}}, assurance.One},
		"a token of one factor":    {session.Live{Token: &store.Token{Level: "aal1"}, Session: store.Session{Methods: strong}}, assurance.One},
		"a token of two factors":   {session.Live{Token: &store.Token{Level: "aal2"}}, assurance.Two},
		"a token with phr":         {session.Live{Token: &store.Token{Level: "phr"}}, assurance.Two},
		"a token without a level":  {session.Live{Token: &store.Token{}}, assurance.One},
		"a token with an odd one":  {session.Live{Token: &store.Token{Level: "AAL2"}}, assurance.One},
		"a service account":        {session.Live{Token: &store.Token{Level: "aal2"}, User: store.User{Kind: store.KindService}}, assurance.One},
	} {
		c.live.Session.AuthAt, c.live.Session.MFAAt = now, now
		if got := c.live.Level(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		p := c.live.Proof()
		if token := c.live.Token != nil; p.Level != c.want || token == p.AuthAt.Equal(now) || token == p.MFAAt.Equal(now) {
			t.Errorf("%s: %+v", name, p)
		}
		if c.live.Methods() == nil {
			t.Errorf("%s: no list of methods", name)
		}
	}
}

// A stream ends with the level that it needs, also where another process takes it, and those that need less go on.
func TestStreamsEndWithTheLevelThatTheyNeed(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	var token string
	f.change(t, func(tx store.Tx) (err error) {
		token, _, err = f.m.Start(t.Context(), tx, session.StartOptions{
			User: f.user, Limits: session.DefaultLimits, MFAAt: f.clock.Now(),
			Methods: string(assurance.Of(assurance.Password, assurance.TOTP)),
		})
		return err
	})
	l, err := f.m.Resolve(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	var some, one, two session.Follower
	one.Level, two.Level = assurance.One, assurance.Two
	free, low, high := f.m.Follow(t.Context(), l, &some), f.m.Follow(t.Context(), l, &one), f.m.Follow(t.Context(), l, &two)
	for _, fl := range []*session.Follower{&some, &one, &two} {
		defer fl.Release()
	}
	level := func(methods string) {
		f.change(t, func(tx store.Tx) error {
			return tx.SetSessionLevels(t.Context(), f.user.ID, func(store.Session) store.SessionLevel {
				return store.SessionLevel{Methods: methods}
			})
		})
	}
	level(string(assurance.Of(assurance.Password, assurance.RecoveryCode)))
	level("pwd")
	select {
	case <-high.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the stream goes on without its level")
	}
	if free.Err() != nil || low.Err() != nil || f.m.StreamCount() != 2 {
		t.Errorf("streams that need less have ended: %v %v, %d left", free.Err(), low.Err(), f.m.StreamCount())
	}
	if l, err := f.m.Resolve(t.Context(), token); err != nil || l.Level() != assurance.One {
		t.Errorf("the session is not there, or keeps its level: %v", err)
	}
}

// After the clock was set back a step-up counts from now: a time in the future is nothing that could be renewed.
func TestAStepUpAfterTheClockWasSetBackCountsFromNow(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	_, s := f.start(t, f.user, false)
	f.clock.Advance(-time.Hour)
	f.change(t, func(tx store.Tx) (err error) {
		_, s, err = f.m.Rotate(t.Context(), tx, s, f.user.Epoch, f.clock.Now())
		return err
	})
	if !s.AuthAt.Equal(f.clock.Now().UTC()) {
		t.Errorf("authenticated at %v, and now is %v", s.AuthAt, f.clock.Now())
	}
}
