package session

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/store"
)

// A cookie's value ends in a mark of the store that issued it: a keyed hash of the token, which tells an old cookie of
// ours from one of another Gatehouse on a sibling host, whether its session is live or not. It proves nothing but that:
// the store alone says whether there is a session.

// markLength is the length of a mark: 48 bits, so that name and value stay at 80 bytes.
const markLength = 8

// MaxCookieName is how long a configured name may be, with which the cookie stays at 80 bytes.
const MaxCookieName = 80 - len(securePrefix+"=") - tokenLength - markLength

// markSetting holds the key of the marks in the store.
const markSetting = "session.mark"

// marks tells the values of one store from those of others.
type marks struct {
	key     []byte // nil: the store has issued nothing with a mark
	unknown bool   // the key could not be read
}

func (k marks) of(token string) string {
	h := hmac.New(sha256.New, k.key)
	_, _ = h.Write([]byte(token)) // a hash takes everything
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))[:markLength]
}

// issued reports whether the store is known to have issued a value.
func (k marks) issued(v cookieValue) bool {
	return k.key != nil && v.mark != "" && hmac.Equal([]byte(k.of(v.token)), []byte(v.mark))
}

// foreign reports whether another store is known to have issued a value.
func (k marks) foreign(v cookieValue) bool { return !k.unknown && v.mark != "" && !k.issued(v) }

// marks returns the marks of the store. With create their key is generated if there is none.
func (m *Manager) marks(ctx context.Context, create bool) (marks, error) {
	if k := m.markKey.Load(); k != nil {
		return marks{key: *k}, nil
	}
	text, err := m.store.Setting(ctx, markSetting)
	switch {
	case errors.Is(err, store.ErrNotFound) && !create:
		return marks{}, nil
	case errors.Is(err, store.ErrNotFound):
		err = m.store.Change(ctx, func(tx store.Tx) (err error) {
			text, err = tx.SetSettingOnce(ctx, markSetting, store.NewToken())
			return err
		})
	}
	if err != nil {
		return marks{unknown: true}, fmt.Errorf("reading the key that marks cookies: %w", err)
	}
	key := []byte(text)
	m.markKey.Store(&key)
	return marks{key: key}, nil
}

// SetCookie gives the browser the token of a session that has just begun or been renewed, and takes from it what the
// request presented besides. Deletions come first: some clients take two scopes of one host for one. The only cookie of
// a session that is renewed is replaced by the new one.
func (m *Manager) SetCookie(ctx context.Context, w http.ResponseWriter, c Cookie, host string, p *Presented,
	token string, s store.Session,
) {
	marks, err := m.marks(ctx, true)
	value := token
	if err == nil { // without a mark the cookie works, too
		value += marks.of(token)
	}
	renewed := s.LastSeenAt.After(s.CreatedAt)
	for _, sc := range marks.scopes(c, host, p) {
		if sc != c && (!renewed || len(p.values) != 1) {
			sc.clear(w)
		}
	}
	if slices.ContainsFunc(p.under(p.prefix), marks.foreign) {
		m.noteCookies("somebody signed in with a cookie of the session's name that another gate had issued", c, host)
	}
	c.set(w, value, s, m.now())
}

// ClearCookies takes the session cookies from the browser that this store issued: on this host, on the configured
// domain, and on other parent domains where that is sure.
func (m *Manager) ClearCookies(ctx context.Context, w http.ResponseWriter, c Cookie, host string, p *Presented) {
	marks, _ := m.marks(ctx, false) // unknown with an error: then no other domain is touched
	if own := p.under(p.prefix); len(own) == 0 || slices.ContainsFunc(own, marks.maybeOurs) {
		c.clear(w)
	}
	for _, sc := range marks.scopes(c, host, p) {
		if sc != c {
			sc.clear(w)
		}
	}
}

func (k marks) maybeOurs(v cookieValue) bool { return !k.foreign(v) }

// scopes returns where the values that a request presented may be kept, as far as they are this store's to delete. On
// this host and on the configured domain these are the ones that nobody else is known to have issued. On another parent
// domain a deletion would hit whoever shares it: there every value of the name has to have this store's mark.
func (k marks) scopes(c Cookie, host string, p *Presented) []Cookie {
	var list []Cookie
	for _, prefix := range []string{"", hostPrefix, securePrefix} {
		values := p.under(prefix)
		if prefix != "" && !c.Secure || !slices.ContainsFunc(values, k.maybeOurs) {
			continue
		}
		at := Cookie{Base: c.Base, Secure: prefix != ""}
		if prefix != securePrefix {
			list = append(list, at)
		}
		if prefix == hostPrefix {
			continue
		}
		var domains []string
		if c.Domain != "" {
			domains = append(domains, c.Domain)
		}
		if !slices.ContainsFunc(values, func(v cookieValue) bool { return !k.issued(v) }) {
			domains = append(domains, parentDomains(host)...)
		}
		for _, at.Domain = range domains {
			if !slices.Contains(list, at) {
				list = append(list, at)
			}
		}
	}
	return list
}

// clear deletes the cookie.
func (c Cookie) clear(w http.ResponseWriter) {
	ck := c.cookie(c.Name(), "") //nolint:gosec // cookie sets the attributes
	ck.MaxAge = -1
	http.SetCookie(w, ck)
}

// parentDomains returns the domains whose cookies a browser sends to a host, itself first, without those that belong to
// many owners.
func parentDomains(host string) []string {
	h, ok := reqctx.ParseHost(host)
	if !ok || strings.Contains(h.Name, ":") || strings.HasSuffix(h.Name, ".") {
		return nil
	}
	suffix, _ := publicsuffix.PublicSuffix(h.Name)
	var list []string
	for name := h.Name; name != suffix && strings.HasSuffix(name, "."+suffix) && len(list) < maxPresented; {
		list = append(list, name)
		_, name, _ = strings.Cut(name, ".")
	}
	return list
}

// noteEvery is the time between two equal log lines that any client can cause.
const noteEvery = time.Minute

// notes limits such lines.
type notes struct {
	mu   sync.Mutex
	last map[string]time.Time // by text, of which there are few
}

func (n *notes) allow(what string, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if last, ok := n.last[what]; ok && now.Sub(last) < noteEvery {
		return false
	}
	if n.last == nil {
		n.last = make(map[string]time.Time)
	}
	n.last[what] = now
	return true
}
