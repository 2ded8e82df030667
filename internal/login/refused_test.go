package login_test

import (
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// Whoever watches the log sees guesses with address, outcome and, of accounts that exist, the name; never what was typed.
func TestRefusedSignInsAreLogged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	logs, lines := observer.New(zap.WarnLevel)
	w.Log = zap.New(logs)
	w.try(from("192.0.2.1"), "ada", wrong)
	w.try(from("192.0.2.1"), "somebody's password", wrong)
	w.try(from("192.0.2.1"), "ada", right)
	w.Limits.Client, w.Limits.FreeAttempts = 1, 100
	for range 3 { // each but the first waits in the tarpit
		w.try(from("192.0.2.2"), "ada", right)
		w.try(from("192.0.2.3"), "ada", right)
	}
	for _, ip := range []string{"2001:db8::1", "2001:db8::2", "2001:db8::3"} { // one network, one line
		w.try(from(ip), "ada", right)
		w.try(from(ip), "ada", right)
	}
	w.clock.Advance(2 * time.Second)
	w.try(from("192.0.2.2"), "ada", right)
	want := []map[string]any{
		{"ip": "192.0.2.1", "outcome": "wrong", "user": "ada"},
		{"ip": "192.0.2.1", "outcome": "wrong", "user": nil},
		{"ip": "192.0.2.2", "outcome": "throttled", "user": nil},
		{"ip": "192.0.2.3", "outcome": "throttled", "user": nil},
		{"ip": "2001:db8::1", "outcome": "throttled", "user": nil},
		{"ip": "192.0.2.2", "outcome": "throttled", "user": nil},
	}
	got := lines.FilterMessage("sign-in refused").All()
	if len(got) != len(want) {
		t.Fatalf("%d lines: %v", len(got), got)
	}
	for i, line := range got {
		for name, value := range want[i] {
			if line.ContextMap()[name] != value {
				t.Errorf("line %d: %s is %v, want %v", i, name, line.ContextMap()[name], value)
			}
		}
	}
}
