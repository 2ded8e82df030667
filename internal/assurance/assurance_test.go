package assurance_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
)

func TestALevelFollowsFromTheMethods(t *testing.T) {
	t.Parallel()
	of := assurance.Of
	for _, tc := range []struct {
		methods assurance.Methods
		shown   string
		level   assurance.Level
	}{
		{"", "", assurance.One},
		{of("pwd"), "pwd", assurance.One},
		{of("ext"), "ext", assurance.One},
		{of("pwd", "ext"), "pwd ext", assurance.One},
		{of("otp"), "otp", assurance.One},
		{of("otp", "pwd"), "pwd otp mfa", assurance.Two},
		{of("ext", "rc"), "ext rc mfa", assurance.Two},
		{of("pwd", "trusted"), "pwd trusted mfa", assurance.Two},
		{of("pop"), "pop", assurance.One},
		{of("pop", "user"), "pop user mfa", assurance.PhishingResistant},
		{of("pwd", "pop"), "pwd pop mfa", assurance.PhishingResistant},
		{of("otp", "rc"), "otp rc", assurance.One}, // two of one kind
		{of("ext").Vouched(false), "ext mfa", assurance.Two},
		{of("ext").Vouched(true), "ext mfa", assurance.PhishingResistant},
		{of("ext").Vouched(true).Believed(false, true), "ext", assurance.One},
		{of("ext").Vouched(true).Believed(true, false), "ext mfa", assurance.Two},
		{of("ext").Vouched(true).Believed(true, true), "ext mfa", assurance.PhishingResistant},
		{of("ext", "otp").Vouched(true).Believed(false, false), "ext otp mfa", assurance.Two},
		{of("pwd", "otp").Without("otp"), "pwd", assurance.One},
		{of("pwd", "otp", "pop", "user").Without("otp"), "pwd pop user mfa", assurance.PhishingResistant},
		{of("pwd", "otp", "pop", "user").Without("pop"), "pwd otp mfa", assurance.Two},
		{of("ext").Vouched(true).With("otp").Without("otp"), "ext mfa", assurance.PhishingResistant},
		{of("ext").Vouched(true, "a", "b").With("otp"), "ext otp mfa", assurance.PhishingResistant},
		// Whatever a text claims, the level follows from the methods themselves.
		{"mfa", "", assurance.One},
		{"pwd mfa", "pwd", assurance.One},
		{"PWD OTP", "", assurance.One},
		{of("mfa", "aal2", "phr", "pwd"), "pwd", assurance.One},
	} {
		if got := tc.methods.Shown(); got != tc.shown || tc.methods.Level() != tc.level {
			t.Errorf("%q: %q at %s, want %q at %s", string(tc.methods), got, tc.methods.Level(), tc.shown, tc.level)
		}
	}
}

func TestNoLevelSatisfiesNothing(t *testing.T) {
	t.Parallel()
	levels := []assurance.Level{"", "aal0", assurance.One, assurance.Two, assurance.PhishingResistant}
	for i, have := range levels {
		for j, wanted := range levels {
			if got, want := have.Satisfies(wanted), j >= 2 && i >= j; got != want {
				t.Errorf("%q satisfies %q: %v", have, wanted, got)
			}
		}
	}
}

// What a provider said stays with its word, once each and no more than a bound, and goes with it.
func TestWhatAProviderSaidIsKeptWithItsWord(t *testing.T) {
	t.Parallel()
	m := assurance.Of("ext").Vouched(false, "a", "b").With("otp").Vouched(false, "a", "c")
	if !m.Said("a") || !m.Said("b") || !m.Said("c") || m.Said("d") || strings.Count(string(m), "+by:a") != 1 {
		t.Errorf("%q", m)
	}
	if gone := m.Believed(false, false); gone != assurance.Of("ext", "otp") {
		t.Errorf("%q", gone)
	}
	if forged := assurance.Of("ext", "+by:a"); forged != assurance.Of("ext") {
		t.Errorf("words without a verdict: %q", forged)
	}
	for i := range 1000 {
		m = m.Vouched(false, strconv.Itoa(i))
	}
	if !m.Said("999") || m.Said("0") || len(m) > 1000 {
		t.Errorf("%d bytes: %q", len(m), m)
	}
}

// When a second factor was proved stays known only of a session whose two factors stand on one that was proved, whatever
// it loses: neither a recovery code nor trust in the browser tells when that was.
func TestWhatIsLostTakesItsTimeAlong(t *testing.T) {
	t.Parallel()
	of, at := assurance.Of, time.Unix(1_800_000_000, 0)
	for _, tc := range []struct {
		methods assurance.Methods
		lost    string
		left    string
		keeps   bool
	}{
		{of("pwd", "otp"), "otp", "pwd", false},
		{of("pwd", "otp"), "pop", "pwd otp mfa", true},
		{of("pwd", "otp", "pop"), "otp", "pwd pop mfa", true},
		{of("pwd", "otp", "rc"), "otp", "pwd rc mfa", false},
		{of("pwd", "otp", "trusted"), "trusted", "pwd otp mfa", true},
		{of("pwd", "otp", "trusted"), "otp", "pwd trusted mfa", false},
		{of("pwd", "trusted"), "trusted", "pwd", false},
		{of("pop", "user"), "pop", "", false},
		{of("otp", "pwd"), "pwd", "otp", false},
		{of("ext", "otp").Vouched(false), "otp", "ext mfa", true},
	} {
		left, mfaAt := tc.methods.Lose(at, tc.lost)
		if left.Shown() != tc.left || mfaAt.IsZero() == tc.keeps || tc.keeps && !mfaAt.Equal(at) {
			t.Errorf("%s without %s: %q, %v", tc.methods, tc.lost, left.Shown(), mfaAt)
		}
	}
}
