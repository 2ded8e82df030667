package caddyauth

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"golang.org/x/net/publicsuffix"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/session"
)

// SessionConfig says how long a sign-in lasts.
type SessionConfig struct {
	// Idle ends a session that was not used for this long; default 12h. Capped by Absolute.
	Idle caddy.Duration `json:"idle,omitempty"`
	// Absolute ends a session after this long, whatever happens; default 7d.
	Absolute caddy.Duration `json:"absolute,omitempty"`
	// Remember is both for "keep me signed in"; default 30d.
	Remember caddy.Duration `json:"remember,omitempty"`
	// CookieDomain shares the session with the hosts below this domain. Default: this host alone.
	CookieDomain string `json:"cookie_domain,omitempty"`
	// CookieName is the name of the session cookie, over HTTPS after __Host- or __Secure-; default gatehouse. Two gates
	// with stores of their own that share a domain, or two ports of one host, need different names.
	CookieName string `json:"cookie_name,omitempty"`
	// StoreGrace is how long requests with sessions that were in use go on when the store cannot be reached, at most
	// 10s; default 0: not at all. An ending elsewhere is not seen meanwhile.
	StoreGrace caddy.Duration `json:"store_grace,omitempty"`
}

// sessionOptions say how long a sign-in lasts, and where it counts.
type sessionOptions struct {
	limits       session.Limits
	storeGrace   time.Duration
	cookieDomain string
	cookieName   string
}

func parseSession(a *App, d *caddyfile.Dispenser) error {
	if err := noArgs(d); err != nil {
		return err
	}
	a.Session = &SessionConfig{}
	return block(d, func(option string) (err error) {
		switch option {
		case "idle":
			return durationArg(d, &a.Session.Idle)
		case "absolute":
			return durationArg(d, &a.Session.Absolute)
		case "remember":
			return durationArg(d, &a.Session.Remember)
		case "cookie_domain":
			if a.Session.CookieDomain, err = oneArg(d); err != nil {
				return err
			}
			return a.check(d, resolveSession)
		case "cookie_name":
			if a.Session.CookieName, err = oneArg(d); err != nil {
				return err
			}
			return a.check(d, resolveSession)
		case "store_grace":
			if err := durationArg(d, &a.Session.StoreGrace); err != nil {
				return err
			}
			return a.check(d, resolveSession)
		}
		return d.Errf("unrecognized option %q; session knows idle, absolute, remember, cookie_domain, "+
			"cookie_name and store_grace", option)
	})
}

// maxStoreGrace bounds for how long a session that was ended elsewhere may go on.
const maxStoreGrace = 10 * time.Second

func resolveSession(a *App, o *options) error {
	o.limits = session.DefaultLimits
	c := a.Session
	if c == nil {
		return nil
	}
	for _, d := range []struct {
		option string
		from   caddy.Duration
		to     *time.Duration
	}{
		{"idle", c.Idle, &o.limits.Idle},
		{"absolute", c.Absolute, &o.limits.Absolute},
		{"remember", c.Remember, &o.limits.Remember},
	} {
		if d.from < 0 {
			return fmt.Errorf("session %s: must be positive", d.option)
		}
		if d.from > 0 {
			*d.to = time.Duration(d.from)
		}
	}
	if o.storeGrace = time.Duration(c.StoreGrace); o.storeGrace < 0 || o.storeGrace > maxStoreGrace {
		return fmt.Errorf("session store_grace: %v; use at most %v, or leave it out so that nothing goes on without the "+
			"store", o.storeGrace, maxStoreGrace)
	}
	var err error
	if o.cookieName, err = cookieName(c.CookieName); err != nil || c.CookieDomain == "" {
		return err
	}
	domain, err := cookieDomain(c.CookieDomain)
	o.cookieDomain = domain
	return err
}

// cookieName refuses what is no name of a cookie, or would be taken for another's.
func cookieName(s string) (string, error) {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return "", fmt.Errorf("session cookie_name: %q; use letters, digits, '-' and '_'", s)
		}
	}
	low := strings.ToLower(s)
	switch {
	case strings.HasPrefix(low, "__host-"), strings.HasPrefix(low, "__secure-"):
		return "", fmt.Errorf("session cookie_name: %q; leave the prefix out, it is added where the site is on HTTPS", s)
	case strings.HasPrefix(s, session.DefaultName+"-"):
		return "", fmt.Errorf("session cookie_name: %q is the name of another cookie of the gate; begin with another word", s)
	case len(s) > session.MaxCookieName:
		return "", fmt.Errorf("session cookie_name: %q; use at most %d characters", s, session.MaxCookieName)
	}
	return s, nil
}

// cookieDomain refuses what browsers refuse, and public suffixes: the session would be sent to other people's sites.
func cookieDomain(s string) (string, error) {
	d := strings.ToLower(strings.TrimPrefix(s, "."))
	h, ok := reqctx.ParseHost(d)
	// net/http leaves out a Domain with an underscore or a final dot: the cookie would be for one host alone.
	_, err := netip.ParseAddr(d)
	if err == nil || !ok || h.Name != d || strings.Contains(d, "_") || strings.HasSuffix(d, ".") {
		return "", fmt.Errorf("session cookie_domain: %q is not a domain name", s)
	}
	if suffix, _ := publicsuffix.PublicSuffix(d); suffix == d && d != "localhost" {
		return "", fmt.Errorf("session cookie_domain: %q belongs to many owners; give your own domain below it", s)
	}
	return d, nil
}

func sessionSettings(a *App, s *settings) {
	o, d := a.opt, session.DefaultLimits
	s.add("session", "idle", span(o.limits.Idle), o.limits.Idle == d.Idle)
	s.add("session", "absolute", span(o.limits.Absolute), o.limits.Absolute == d.Absolute)
	s.add("session", "remember", span(o.limits.Remember), o.limits.Remember == d.Remember)
	s.add("session", "cookie_domain", o.cookieDomain, o.cookieDomain == "")
	s.add("session", "cookie_name", cmp.Or(o.cookieName, session.DefaultName), o.cookieName == "")
	s.add("session", "store_grace", span(o.storeGrace), o.storeGrace == 0)
}
