package credential_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/credential"
)

// An address may send sixty bad tokens in a minute, whatever the clock does meanwhile, and a /64 is one address.
func TestBadTokensAreCountedByAddressAndMinute(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	b := credential.NewBadTokens(func() time.Time { return now })
	send := func(ip string) bool { return b.Exceeded(netip.MustParseAddr(ip)) }
	sixty := func(when, ip string) {
		t.Helper()
		for i := range 60 {
			if send(ip) {
				t.Fatalf("%s: bad token %d of %s is too many", when, i+1, ip)
			}
		}
		if !send(ip) {
			t.Errorf("%s: one more of %s is not too many", when, ip)
		}
	}
	sixty("at first", "192.0.2.1")
	sixty("another address", "192.0.2.2")
	sixty("a network", "2001:db8:0:1::1")
	if !send("2001:db8:0:1:ffff::2") || send("2001:db8:0:2::1") {
		t.Error("a /64 does not count as one address")
	}
	if !send("::ffff:192.0.2.1") {
		t.Error("an address counts apart in its other spelling")
	}
	now = now.Add(time.Minute - time.Nanosecond)
	if !send("192.0.2.1") {
		t.Error("the minute is over too early")
	}
	now = now.Add(time.Nanosecond)
	sixty("a minute later", "192.0.2.1")
	now = now.Add(-time.Hour) // the clock was set back: nobody waits for an hour
	sixty("an hour before", "192.0.2.1")
}
