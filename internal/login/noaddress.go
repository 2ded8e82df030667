package login

import (
	"context"
	"fmt"
	"time"

	"github.com/maypok86/otter/v2"
)

// On a unix socket there is no client address, unless Caddy trusts the proxy that connects to it
// (trusted_proxies_unix). Everybody would share the count of one address, and anybody could use it up for all. So those
// without an address share another one: wrong passwords only, ten times as many, and nothing that holds a browser which
// the account knows or somebody who is signed in.

// noAddress is the key of that count.
const noAddress = "c:none"

// noAddressFactor multiplies the limits of an address for all that have none.
const noAddressFactor = 10

// checkWithoutAddress returns a *[ThrottledError] for a stranger while too many passwords of people without an address
// were wrong.
func (t *Throttle) checkWithoutAddress(c Client, a attempt, l Limits) error {
	if c.IP.IsValid() || a.ownCount || l.Client <= 0 {
		return nil
	}
	if wait := t.blockedFor(noAddress); wait > 0 {
		return &ThrottledError{Wait: wait}
	}
	return nil
}

// countWrongWithoutAddress counts a wrong password of a stranger without an address. first is true for the one that
// makes the others wait.
func (t *Throttle) countWrongWithoutAddress(ctx context.Context, c Client, a attempt, l Limits) (first bool,
	err error,
) {
	if c.IP.IsValid() || a.ownCount || l.Client <= 0 {
		return false, nil
	}
	now := t.now()
	wait, err := t.store.CountInWindow(context.WithoutCancel(ctx), noAddress, noAddressFactor*l.Client, l.Window, now)
	if err != nil {
		return false, fmt.Errorf("counting wrong passwords: %w", err)
	}
	if wait <= 0 {
		return false, nil
	}
	t.blocked.Compute(noAddress, func(until time.Time, found bool) (time.Time, otter.ComputeOp) {
		first = !found || !until.After(now)
		return now.Add(wait), otter.WriteOp
	})
	return first, nil
}
