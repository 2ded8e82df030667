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

// RetryAfter returns the wait in whole seconds, at least one (RFC 9110, section 10.2.3).
func (e *ThrottledError) RetryAfter() int {
	return max(1, int((e.Wait+time.Second-1)/time.Second))
}

// Throttle counts attempts in the store, so that a restart or a second Caddy forgets nothing.
//
// Attempts are counted before their outcome is known, so that a hundred guesses at once get no more than the free
// ones. What is counted:
//
//   - the client address (a /64 for IPv6), for every attempt;
//   - for browsers that never signed in to the account: the name as it was typed, see [attempt], and behind it the
//     account that it means;
//   - for browsers that did: each by itself, so that strangers cannot make the owner wait, and all together;
//   - for whoever is signed in and is asked again, in a browser that is not known: each session likewise.
//
// Only the count of the typed name is ever told to a stranger, and it is kept, and dropped, alike for names that somebody
// has and for others: the difference would tell which exist.
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

// ClientKey returns the key of a client address: IPv4 addresses as they are, IPv6 by /64, which is what one
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

// told returns a *[ThrottledError] to a client that was told to wait and comes before its time, after a moment; or the
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

// wait returns how long a client is known to have to wait, 0 for not at all.
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

// attempt says under which keys an attempt is counted. Every one of them is counted, and forgotten, together.
//
// A stranger's has two. shown is the typed name up to its last @: a username and the address with that local part wait
// together, whether they are one account, two, or none. behind is the account, which other names may mean as well
// (CVE-2025-24806, CVE-2026-47203): where it waits and shown does not, the attempt is refused as a wrong password is, and
// nothing is compared. A name that nobody has counts behind as well, so that it costs the same.
//
// A known browser's are its own, and that of all known browsers of the account; a session's are its own, and that of all
// sessions of the account.
type attempt struct {
	shown, behind string
	device        string // the presented device token that is known for the account, or ""
	own           bool   // counted apart from strangers, who can do nothing about it
	open          bool   // the person has been in the account: waits of behind are told
}

func (a attempt) keys() []string { return []string{a.shown, a.behind} }

// knownFree is how many times the free attempts all known browsers of an account have together, and all its sessions.
const knownFree = 2

// begin counts an attempt. hidden is true when it has to look like a wrong password.
func (t *Throttle) begin(ctx context.Context, a attempt, l Limits) (hidden bool, err error) {
	now, free := t.now(), l.Free
	wait, err := t.store.BeginAttempt(ctx, a.shown, free, l.Longest, now)
	if err != nil {
		return false, fmt.Errorf("counting sign-in attempts: %w", err)
	}
	if wait > 0 {
		return false, &ThrottledError{Wait: wait}
	}
	if a.own {
		free *= knownFree
	}
	ctx = context.WithoutCancel(ctx) // both or none, also of whoever leaves in between
	if wait, err = t.store.BeginAttempt(ctx, a.behind, free, l.Longest, now); err != nil {
		return false, errors.Join(fmt.Errorf("counting sign-in attempts: %w", err), t.store.ForgiveAttempt(ctx, a.shown, now))
	}
	if wait > 0 && a.open {
		return false, errors.Join(&ThrottledError{Wait: wait}, t.store.ForgiveAttempt(ctx, a.shown, now))
	}
	return wait > 0, nil
}

// AccountKey returns the key under which strangers' attempts on an account are counted.
func AccountKey(userID string) string { return "a:" + userID }

func knownKey(userID string) string { return "k:" + userID }

// sessionsKey is the count of all sessions of an account. Whoever has stolen one makes no known browser wait.
func sessionsKey(userID string) string { return "s:" + userID }

func sessionKey(h store.TokenHash, userID string) string {
	return "s:" + h.String()[:22] + ":" + userID
}

func deviceKey(h store.TokenHash, userID string) string { return "d:" + h.String()[:22] + ":" + userID }

// Prefixes of keys of which anybody can make up any number; the store keeps a bounded lot of each.
const (
	shownPrefix  = "n:"
	nobodyPrefix = "u:"
)

// nameKey returns the key of a typed name. People type passwords into the name field, so the store gets a few bytes of a
// keyed hash: enough to count, too little to find out what was typed.
func nameKey(secret, prefix, name string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(prefix + name))
	return prefix + hex.EncodeToString(mac.Sum(nil)[:6])
}

// shownKey returns the key of the count that is told.
func shownKey(secret, name string) string {
	name = store.FoldName(name)
	if at := strings.LastIndexByte(name, '@'); at > 0 {
		name = name[:at]
	}
	return nameKey(secret, shownPrefix, name)
}

// Forget forgets every wrong attempt on an account, in a change that gives it another password: what was guessed at is
// not there any more.
func Forget(ctx context.Context, tx store.Tx, u store.User) error {
	keys := []string{AccountKey(u.ID), knownKey(u.ID), sessionsKey(u.ID)}
	secret, err := tx.Setting(ctx, secretSetting)
	switch {
	case errors.Is(err, store.ErrNotFound): // no name was ever counted
	case err != nil:
		return err
	default:
		keys = append(keys, shownKey(secret, u.Username))
		if u.Email != "" {
			keys = append(keys, shownKey(secret, u.Email))
		}
	}
	return forget(ctx, tx, keys)
}

func forget(ctx context.Context, tx store.Tx, keys []string) error {
	for _, key := range keys {
		if err := tx.ClearAttempts(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

const secretSetting = "throttle.key"

// secret returns the key for typed names, made once per store and shared by all that use it.
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
