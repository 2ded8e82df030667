package caddyauth

import (
	"encoding/json"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/i18n"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/session"
)

// adminPages makes the admin pages and the JSON API beneath them, on the hosts where they may be. On others notFound
// responds, as if there were none.
func (a *App) adminPages(accounts *account.Service, config admin.Config, notFound http.HandlerFunc) (http.Handler, error) {
	config.Store, config.Accounts = a.rt.store, accounts
	config.Clock, config.Log = time.Now, a.log.Named("admin")
	started := time.Now()
	config.Effective = func() admin.Settings { return a.effective(started) }
	config.Sites = a.sites
	pages, err := admin.New(config)
	if err != nil {
		return nil, err
	}
	hosts := a.opt.adminHosts
	if len(hosts) == 0 {
		return pages, nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// By the Host header alone: script in an app on another host can send any X-Forwarded-Host through a proxy that
		// does not set it, and would reach the administration with the person's cookie.
		asked, ok := reqctx.Asked(r)
		secure := reqctx.From(r).Secure
		if !ok || !slices.ContainsFunc(hosts, func(h reqctx.Host) bool { return h.Serves(asked, secure) }) {
			notFound(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	}), nil
}

// sites tells the admin pages what each gate asks for.
func (a *App) sites() []admin.SiteRules {
	var rules []admin.SiteRules
	for _, g := range a.gates {
		site, also := g.describe()
		rules = append(rules, admin.SiteRules{Site: site, Also: also, Public: g.Public, Optional: g.Optional, Require: g.Require})
	}
	return rules
}

// describe names the requests that a gate guards, from its matchers: "" for all of them, or one set of matchers and
// those that are enough, too.
func (g *Gate) describe() (site string, also []string) {
	if len(g.MatcherSetsRaw) == 0 {
		return "", nil
	}
	var sets []string
	for _, set := range g.MatcherSetsRaw {
		var parts []string
		for name, raw := range set {
			var values []string
			if json.Unmarshal(raw, &values) == nil {
				parts = append(parts, name+" "+strings.Join(values, " "))
			} else {
				parts = append(parts, name+" "+string(raw))
			}
		}
		slices.Sort(parts)
		sets = append(sets, strings.Join(parts, ", "))
	}
	return sets[0], sets[1:]
}

// effective returns the configuration in force, without any secret.
func (a *App) effective(started time.Time) admin.Settings {
	o := a.opt
	s := admin.Settings{Version: version(), Started: started, Retention: o.keepEvents}
	s.Caddy, _ = caddy.Version()
	add := func(section, name, value string, isDefault bool) {
		source := "Caddyfile"
		if isDefault {
			source = "default"
		}
		s.Options = append(s.Options, admin.Option{Section: section, Name: name, Value: value, Source: source})
	}
	location := o.store.path
	if o.store.engine != "sqlite" {
		location = a.rt.store.Info().Location
	}
	add("store", o.store.engine, location, a.Store == nil)
	add("admin", "mode", string(o.seed.Mode), a.Admin == nil || a.Admin.Mode == "")
	add("admin", "env_prefix", o.seed.EnvPrefix, o.seed.EnvPrefix == "")
	l, d := o.lifetime, session.DefaultLimits
	add("session", "idle", l.Idle.String(), l.Idle == d.Idle)
	add("session", "absolute", l.Absolute.String(), l.Absolute == d.Absolute)
	add("session", "remember", l.Remember.String(), l.Remember == d.Remember)
	add("session", "cookie_domain", o.cookieDomain, o.cookieDomain == "")
	add("session", "store_grace", o.storeGrace.String(), o.storeGrace == 0)
	add("password", "min_length", strconv.Itoa(o.policy.MinLength), a.Password == nil || a.Password.MinLength == 0)
	add("password", "argon2id", o.hash.String(), a.Password == nil || a.Password.Argon2id == nil)
	t, dt := o.attempts, login.DefaultLimits
	add("throttle", "free", strconv.Itoa(t.Free), t.Free == dt.Free)
	add("throttle", "longest", t.Longest.String(), t.Longest == dt.Longest)
	add("throttle", "client", strconv.Itoa(t.Client)+"/"+t.Window.String(), t.Client == dt.Client && t.Window == dt.Window)
	add("audit", "keep", keepText(o.keepEvents), a.Audit == nil || a.Audit.Keep == 0)
	add("pages", "prefix", o.prefix, a.Prefix == "")
	add("pages", "language", o.language, a.Language == "")
	add("pages", "admin_host", joinHosts(o.adminHosts), len(o.adminHosts) == 0)
	add("pages", "trust_return", strings.Join(o.trustReturn, " "), len(o.trustReturn) == 0)
	add("pages", "forwarded_host", strconv.FormatBool(o.forwarded), !o.forwarded)
	add("brand", "title", o.title, a.Brand == nil || a.Brand.Title == "")
	for _, p := range a.OIDC {
		add("oidc", p.Name, p.Issuer, false)
	}
	s.Warnings = a.warnings()
	return s
}

// warnings are what an operator should think about, in sentences.
func (a *App) warnings() []i18n.Text {
	var w []i18n.Text
	if len(a.opt.adminHosts) == 0 {
		w = append(w, i18n.New("warning.admin_host"))
	}
	if a.opt.cookieDomain != "" {
		w = append(w, i18n.New("warning.cookie_domain", "domain", a.opt.cookieDomain))
	}
	if a.lenientIP.Load() {
		w = append(w, i18n.New("warning.client_ip"))
	}
	if g := a.opt.storeGrace; g > 0 {
		w = append(w, i18n.New("warning.store_grace", "span", g.String()))
	}
	if a.opt.attempts.Free > 10 {
		w = append(w, i18n.New("warning.free"))
	}
	return w
}

// version returns Gatehouse's version as it was built.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	const module = "github.com/gatehouse-auth/gatehouse"
	if info.Main.Path == module {
		return info.Main.Version
	}
	for _, m := range info.Deps {
		if m.Path == module {
			return m.Version
		}
	}
	return "unknown"
}
