package login

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Limits limit how often passwords may be tried.
type Limits struct {
	FreeAttempts int           // wrong passwords for one account without a wait
	MaxWait      time.Duration // maximum wait
	Client       int           // attempts per client address and Window
	Window       time.Duration
}

// DefaultLimits apply if the configuration sets none.
var DefaultLimits = Limits{FreeAttempts: 5, MaxWait: 15 * time.Minute, Client: 30, Window: time.Minute}

// ThrottledError means too many attempts. It says nothing about the account, which may not exist.
type ThrottledError struct{ Wait time.Duration }

func (e *ThrottledError) Error() string {
	return fmt.Sprintf("too many attempts; try again in %s", e.Wait.Round(time.Second))
}

// RetryAfter returns the wait in whole seconds, at least one (RFC 9110, section 10.2.3).
func (e *ThrottledError) RetryAfter() int {
	return max(1, int((e.Wait+time.Second-1)/time.Second))
}

// Throttle counts attempts in the store, so that they survive a restart and are shared by all Caddy processes.
//
// Attempts are counted before their outcome is known, so that parallel guesses gain nothing. What is counted:
//
//   - the client address (a /64 for IPv6), for every attempt;
//   - for browsers that never signed in to the account: the typed name, see [attempt], and the account that it resolves
//     to;
//   - for browsers that did: each browser by itself, so that strangers cannot lock the owner out, and all of them
//     together;
//   - for step-up in a browser that is not known: each session by itself, and all sessions of the account together.
//
// A stranger sees only the wait of the typed name. That count is kept, and dropped, in the same way for existing and
// unknown names, so that it does not tell which exist (user enumeration).
type Throttle struct {
	store   store.Store
	now     func() time.Time
	blocked *otter.Cache[string, time.Time] // clients that have to wait, so that a flood does not reach the store
	tarpit  password.Tarpit
}

// tarpitDelay is the mean delay before the response to a blocked client; see [password.Tarpit].
const tarpitDelay = time.Second / 2

// NewThrottle returns a Throttle that counts in st.
func NewThrottle(st store.Store, now func() time.Time) *Throttle {
	return &Throttle{
		store: st, now: now,
		blocked: otter.Must(&otter.Options[string, time.Time]{MaximumSize: 10_000}),
	}
}

// ClientKey returns the key of a client address: an IPv4 address as it is, an IPv6 address by its /64, which is what
// one subscriber gets. It returns "" for an unknown address (a unix socket): those behind it share another count, see
// [noAddress].
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

// NetworkKey is ClientKey for bounds that share a total with everybody else's: an IPv6 address counts by its /48, the
// most that one subscriber gets (RFC 6177, section 2), so that nobody uses the total up from all the networks they
// have.
func NetworkKey(ip netip.Addr) string {
	ip = ip.Unmap().WithZone("")
	if p, err := ip.Prefix(48); err == nil && ip.Is6() {
		return "c:" + p.String()
	}
	return ClientKey(ip)
}

// checkBlocked returns, after a delay, a *[ThrottledError] for a client that still has to wait, or the context's error.
// Whoever has no address, and says to have signed in before, is judged when that is known.
func (t *Throttle) checkBlocked(ctx context.Context, c Client, l Limits) error {
	key := ClientKey(c.IP)
	if key == "" && len(c.Devices) == 0 && c.Session == "" {
		key = noAddress
	}
	if l.Client <= 0 || t.blockedFor(key) == 0 {
		return nil
	}
	moment, end := t.tarpit.Delay(tarpitDelay)
	defer end()
	select {
	case <-ctx.Done():
		return fmt.Errorf("delaying a throttled sign-in: %w", ctx.Err())
	case <-time.After(moment):
	}
	if wait := t.blockedFor(key); wait > 0 {
		return &ThrottledError{Wait: wait}
	}
	return nil
}

// blockedFor returns how long a client still has to wait, 0 for not at all.
func (t *Throttle) blockedFor(key string) time.Duration {
	until, ok := t.blocked.GetIfPresent(key)
	if !ok {
		return 0
	}
	return max(0, until.Sub(t.now()))
}

// countClient counts an attempt of a client address. first is true for the attempt that blocks it.
func (t *Throttle) countClient(ctx context.Context, ip netip.Addr, l Limits) (first bool, err error) {
	key := ClientKey(ip)
	if key == "" || l.Client <= 0 {
		return false, nil
	}
	if wait := t.blockedFor(key); wait > 0 { // blocked since checkBlocked
		return false, &ThrottledError{Wait: wait}
	}
	now := t.now()
	wait, err := t.store.CountInWindow(ctx, key, l.Client, l.Window, now)
	if err != nil {
		return false, fmt.Errorf("counting sign-in attempts: %w", err)
	}
	if wait <= 0 {
		return false, nil
	}
	t.blocked.Compute(key, func(until time.Time, found bool) (time.Time, otter.ComputeOp) {
		first = !found || !until.After(now) // only one of several concurrent attempts is the first
		return now.Add(wait), otter.WriteOp
	})
	return first, &ThrottledError{Wait: wait}
}

// attempt holds the keys under which an attempt is counted. They are counted, and cleared, together.
//
// For a stranger, visibleKey is the typed name up to its last @: a username and the address with that local part share
// one wait, whether they are one account, two, or none. hiddenKey is the account, which other names may resolve to as
// well (CVE-2025-24806, CVE-2026-47203): if it has to wait and visibleKey has not, the attempt fails like a wrong
// password, and nothing is compared. Unknown names have a hiddenKey as well, so that they cost the same.
//
// For a known browser, the keys are its own and that of all known browsers of the account; for a session, its own and
// that of all sessions of the account.
type attempt struct {
	visibleKey, hiddenKey string
	device                string // the request's device token that is known for the account, or ""
	ownCount              bool   // counted apart from strangers, who cannot affect it
	showsWait             bool   // waits of hiddenKey are reported, too: the user has signed in before
}

func (a attempt) keys() []string { return []string{a.visibleKey, a.hiddenKey} }

// sharedFactor multiplies the free attempts for all known browsers, and for all sessions, of an account together.
const sharedFactor = 2

// count counts an attempt. hidden is true if it has to fail like a wrong password.
func (t *Throttle) count(ctx context.Context, a attempt, l Limits) (hidden bool, err error) {
	now, free := t.now(), l.FreeAttempts
	wait, err := t.store.BeginAttempt(ctx, a.visibleKey, free, l.MaxWait, now)
	if err != nil {
		return false, fmt.Errorf("counting sign-in attempts: %w", err)
	}
	if wait > 0 {
		return false, &ThrottledError{Wait: wait}
	}
	if a.ownCount {
		free *= sharedFactor
	}
	ctx = context.WithoutCancel(ctx) // both counts or none, even if the client disconnects in between
	if wait, err = t.store.BeginAttempt(ctx, a.hiddenKey, free, l.MaxWait, now); err != nil {
		return false, errors.Join(fmt.Errorf("counting sign-in attempts: %w", err),
			t.store.ForgiveAttempt(ctx, a.visibleKey, now))
	}
	if wait > 0 && a.showsWait {
		return false, errors.Join(&ThrottledError{Wait: wait}, t.store.ForgiveAttempt(ctx, a.visibleKey, now))
	}
	return wait > 0, nil
}

// AccountKey returns the key under which strangers' attempts for an account are counted.
func AccountKey(userID string) string { return "a:" + userID }

func knownBrowsersKey(userID string) string { return "k:" + userID }

// sessionsKey returns the key of all sessions of an account. It is not that of known browsers: guesses with a stolen
// session must not lock them out.
func sessionsKey(userID string) string { return "s:" + userID }

func sessionKey(h store.TokenHash, userID string) string {
	return "s:" + h.String()[:22] + ":" + userID
}

func deviceKey(h store.TokenHash, userID string) string { return "d:" + h.String()[:22] + ":" + userID }

// Prefixes of keys of which anybody can create any number; the store keeps a limited number of each.
const (
	typedPrefix   = "n:"
	unknownPrefix = "u:"
)

// nameKey returns the key of a typed name. Users type passwords into the name field by mistake, so the store gets a few
// bytes of a keyed hash: enough to count, too little to recover the text.
func nameKey(secret, prefix, name string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(prefix + name))
	return prefix + hex.EncodeToString(mac.Sum(nil)[:6])
}

// typedNameKey returns the key of the count whose wait is reported.
func typedNameKey(secret, name string) string {
	name = store.FoldName(name)
	if at := strings.LastIndexByte(name, '@'); at > 0 {
		name = name[:at]
	}
	return nameKey(secret, typedPrefix, name)
}

// ClearAttempts clears all failed attempts for an account, in the transaction that changes its password: they were
// guesses at the old one.
func ClearAttempts(ctx context.Context, tx store.Tx, u store.User) error {
	keys := []string{AccountKey(u.ID), knownBrowsersKey(u.ID), sessionsKey(u.ID)}
	secret, err := tx.Setting(ctx, secretSetting)
	switch {
	case errors.Is(err, store.ErrNotFound): // no name was ever counted
	case err != nil:
		return err
	default:
		keys = append(keys, typedNameKey(secret, u.Username))
		if u.Email != "" {
			keys = append(keys, typedNameKey(secret, u.Email))
		}
	}
	return clearKeys(ctx, tx, keys)
}

func clearKeys(ctx context.Context, tx store.Tx, keys []string) error {
	for _, key := range keys {
		if err := tx.ClearAttempts(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

const secretSetting = "throttle.key"

// hashKey returns the HMAC key for typed names. It is created once per store and shared by all processes.
func (t *Throttle) hashKey(ctx context.Context) (string, error) {
	s, err := t.store.Setting(ctx, secretSetting)
	if err == nil {
		return s, nil
	}
	err = t.store.Change(ctx, func(tx store.Tx) (err error) {
		s, err = tx.SetSettingOnce(ctx, secretSetting, store.NewToken())
		return err
	})
	if err != nil {
		return "", fmt.Errorf("storing the throttle's key: %w", err)
	}
	return s, nil
}
