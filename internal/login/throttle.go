package login

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Limits say how fast passwords may be tried.
type Limits struct {
	Free    int           // wrong passwords for one account before it gets slower
	Longest time.Duration // the longest wait
	Client  int           // attempts of one client address …
	Window  time.Duration // … in this time
}

// DefaultLimits are in force when the configuration says nothing.
var DefaultLimits = Limits{Free: 5, Longest: 15 * time.Minute, Client: 30, Window: time.Minute}

// ThrottledError: too many attempts. It says nothing about the account, which may not exist.
type ThrottledError struct{ Wait time.Duration }

func (e *ThrottledError) Error() string {
	return fmt.Sprintf("too many attempts; try again in %s", e.Wait.Round(time.Second))
}

// RetryAfter answers the wait in whole seconds, at least one (RFC 9110, section 10.2.3).
func (e *ThrottledError) RetryAfter() int {
	return max(1, int((e.Wait+time.Second-1)/time.Second))
}

// Throttle counts attempts in the store, so that a restart or a second Caddy forgets nothing.
//
// Attempts are counted before their outcome is known, so that a hundred guesses at once get no more than the free
// ones. Three keys, none of which a stranger can turn against someone else:
//
//   - the client address (a /64 for IPv6), for every attempt;
//   - the account that was meant, by whatever spelling, for browsers that never signed in to it;
//   - the account and the browser, for browsers that did: strangers cannot make the owner wait.
//
// Unknown names are counted like known ones, or the difference would tell which exist; their rows are bounded.
type Throttle struct {
	store   store.Store
	now     func() time.Time
	blocked *otter.Cache[string, time.Time] // clients known to wait, to spare the store a flood
	holds   password.Holds
}

// holdFor is about how long a client is held that was told to wait and comes all the same; see [password.Holds].
const holdFor = time.Second / 2

// NewThrottle counts in st.
func NewThrottle(st store.Store, now func() time.Time) *Throttle {
	return &Throttle{
		store: st, now: now,
		blocked: otter.Must(&otter.Options[string, time.Time]{MaximumSize: 10_000}),
	}
}

// ClientKey answers the key of a client address: IPv4 addresses as they are, IPv6 by /64, which is what one
// subscriber gets. "" for an unknown address (a unix socket): no key is shared by everybody behind it.
func ClientKey(ip netip.Addr) string {
	ip = ip.Unmap().WithZone("")
	switch {
	case !ip.IsValid():
		return ""
	case ip.Is4():
		return "c:" + ip.String()
	default:
		p, err := ip.Prefix(64)
		if err != nil {
			return ""
		}
		return "c:" + p.String()
	}
}

// told answers a *[ThrottledError] to a client that was told to wait and comes before its time, after a moment; or the
// context's error.
func (t *Throttle) told(ctx context.Context, ip netip.Addr, l Limits) error {
	key := ClientKey(ip)
	if l.Client <= 0 || t.wait(key) == 0 {
		return nil
	}
	moment, end := t.holds.Begin(holdFor)
	defer end()
	select {
	case <-ctx.Done():
		return fmt.Errorf("holding a sign-in back: %w", ctx.Err())
	case <-time.After(moment):
	}
	if wait := t.wait(key); wait > 0 {
		return &ThrottledError{Wait: wait}
	}
	return nil
}

// wait answers for how long a client is known to have to wait, 0 for not at all.
func (t *Throttle) wait(key string) time.Duration {
	until, ok := t.blocked.GetIfPresent(key)
	if !ok {
		return 0
	}
	return max(0, until.Sub(t.now()))
}

// client counts an attempt of a client address. first is true when it has just begun to wait.
func (t *Throttle) client(ctx context.Context, ip netip.Addr, l Limits) (first bool, err error) {
	key := ClientKey(ip)
	if key == "" || l.Client <= 0 {
		return false, nil
	}
	if wait := t.wait(key); wait > 0 { // since it was let in
		return false, &ThrottledError{Wait: wait}
	}
	now := t.now()
	wait, err := t.store.TakeTurn(ctx, key, l.Client, l.Window, now)
	if err != nil {
		return false, fmt.Errorf("counting sign-in attempts: %w", err)
	}
	if wait <= 0 {
		return false, nil
	}
	t.blocked.Compute(key, func(until time.Time, found bool) (time.Time, otter.ComputeOp) {
		first = !found || !until.After(now) // of those who come at once one is the first
		return now.Add(wait), otter.WriteOp
	})
	return first, &ThrottledError{Wait: wait}
}

// account counts an attempt under an account's key.
func (t *Throttle) account(ctx context.Context, key string, l Limits) error {
	wait, err := t.store.BeginAttempt(ctx, key, l.Free, l.Longest, t.now())
	if err != nil {
		return fmt.Errorf("counting sign-in attempts: %w", err)
	}
	if wait > 0 {
		return &ThrottledError{Wait: wait}
	}
	return nil
}

// AccountKey answers the key under which strangers' attempts on a user are counted.
func AccountKey(userID string) string { return "a:" + userID }

func deviceKey(h store.TokenHash, userID string) string { return "d:" + h.String()[:22] + ":" + userID }

// unknownKey answers the key for a name that nobody has. People type passwords into the name field, so the store
// gets a few bytes of a keyed hash: enough to count, too little to find out what was typed.
func (t *Throttle) unknownKey(ctx context.Context, name string) (string, error) {
	secret, err := t.secret(ctx)
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(store.FoldName(name)))
	return "u:" + hex.EncodeToString(mac.Sum(nil)[:6]), nil
}

const secretSetting = "throttle.key"

// secret answers the key for unknown names, made once per store and shared by all that use it.
func (t *Throttle) secret(ctx context.Context) (string, error) {
	s, err := t.store.Setting(ctx, secretSetting)
	if err == nil {
		return s, nil
	}
	err = t.store.Change(ctx, func(tx store.Tx) (err error) {
		s, err = tx.SetSettingOnce(ctx, secretSetting, store.NewToken())
		return err
	})
	if err != nil {
		return "", fmt.Errorf("keeping the throttle's key: %w", err)
	}
	return s, nil
}
