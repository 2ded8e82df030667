package caddyauth

import (
	"runtime/debug"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/internal/i18n"
)

// settings are the rows of the admin pages about the configuration in force.
type settings struct {
	rows []admin.Option
}

// add adds a row. Values must not be secret.
func (s *settings) add(section, name, value string, isDefault bool) {
	source := "Caddyfile"
	if isDefault {
		source = "default"
	}
	s.rows = append(s.rows, admin.Option{Section: section, Name: name, Value: value, Source: source})
}

// effectiveSettings returns the configuration in force, without any secret.
func (a *App) effectiveSettings(started time.Time) admin.Settings {
	var rows settings
	for _, s := range sections {
		s.settings(a, &rows)
	}
	out := admin.Settings{
		Version: version(), Started: started, Retention: a.opt.retention, Options: rows.rows, Warnings: a.warnings(),
	}
	out.Caddy, _ = caddy.Version()
	return out
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
	if a.lenientClientIP.Load() {
		w = append(w, i18n.New("warning.client_ip"))
	}
	if text, found := a.untrusted.warning(); found {
		w = append(w, text)
	}
	if g := a.opt.storeGrace; g > 0 {
		w = append(w, i18n.New("warning.store_grace", "span", g.String()))
	}
	if a.opt.throttle.FreeAttempts > 10 {
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
