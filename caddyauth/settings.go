package caddyauth

import (
	"runtime/debug"
	"strconv"
	"strings"
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

// span returns a duration as one would write it in a Caddyfile: 7d, 12h, 90m.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = strings.TrimSuffix(s, zero[1:])
		}
	}
	return s
}

// onOff returns the value of an option that is either there or not.
func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// effectiveSettings returns the configuration in force, without any secret.
func (a *App) effectiveSettings(started time.Time) admin.Settings {
	var rows settings
	for _, s := range sections {
		s.settings(a, &rows)
	}
	out := admin.Settings{
		Version: version(), Started: started, Retention: a.opt.retention, Options: rows.rows, Warnings: a.warnings(),
		Notes: a.notes,
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
		w = append(w, i18n.New("warning.store_grace", "span", span(g)))
	}
	if n := a.unusedFactors.Load(); n > 0 {
		w = append(w, i18n.New("warning.mfa_off", "n", int(n)))
	}
	if lost := a.lostPasskeys.Load(); lost != nil {
		for _, d := range *lost {
			w = append(w, i18n.New("warning.passkeys_lost", "n", d.Count, "domain", d.RPID))
		}
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
