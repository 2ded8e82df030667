package caddyauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/store"
)

// The option mfa: who has to have a second factor, and how people get one.

// MFAConfig says who has to have a second factor.
type MFAConfig struct {
	// Mode is `off` (nobody is asked for one), `optional` (default: whoever has one is asked), `admins` (administrators
	// have to have one) or `required` (everybody has to).
	Mode string `json:"mode,omitempty"`
	// Groups are those whose members have to have one, too.
	Groups []string `json:"groups,omitempty"`
	// Grace is how long people may put it off, from the first sign-in that asked; 0 for not at all. Default: 14d, and 0
	// for administrators.
	Grace *caddy.Duration `json:"grace,omitempty"`
	// Issuer is what authenticator apps call this site; default the brand's title, or else the host.
	Issuer string `json:"issuer,omitempty"`
	// Methods are the second factors that people may add, `totp` and `passkey`; default both. Authenticator apps that
	// there are already are asked for even so.
	Methods []string `json:"methods,omitempty"`
	// PasskeyLogin lets people sign in with a passkey alone; default true.
	PasskeyLogin *bool `json:"passkey_login,omitempty"`
	// RPID is the domain that passkeys belong to, on the hosts that are it or lie below it; elsewhere they belong to the
	// host. Default: session.cookie_domain.
	RPID string `json:"rp_id,omitempty"`
	// TrustBrowser is how long people may have a browser trusted in which they have proved a second factor, so that it is
	// not asked for there; at most 90d. Default: not at all.
	TrustBrowser *caddy.Duration `json:"trust_browser,omitempty"`
}

// mfaModes are the modes by their names.
var mfaModes = map[string]login.MFAMode{
	"": login.MFAOptional, "off": login.MFAOff, "optional": login.MFAOptional, "admins": login.MFAAdmins,
	"required": login.MFARequired,
}

// maxIssuer bounds what authenticator apps show in one line, in characters.
const maxIssuer = 64

// mfaOptions are the rules about second factors.
type mfaOptions struct{ second login.SecondFactors }

// parseMFA reads `mfa <mode> { … }`.
func parseMFA(a *App, d *caddyfile.Dispenser) error {
	a.MFA = &MFAConfig{}
	mode := *d
	switch args := d.RemainingArgs(); len(args) {
	case 0:
	case 1:
		if a.MFA.Mode = args[0]; a.MFA.Mode == "" {
			return d.Err("mfa: the mode is empty; leave it out for optional")
		}
	default:
		return d.Err("mfa takes one of off, optional, admins and required")
	}
	if err := a.MFA.checkMode(); err != nil {
		return d.WrapErr(err)
	}
	a.checkLater(&mode, a.MFA.checkTogether)
	a.checkLater(&mode, a.MFA.checkPasskeys)
	return block(d, func(option string) error {
		switch option {
		case "group":
			return a.MFA.parseGroup(d)
		case "grace":
			return a.MFA.parseGrace(d)
		case "issuer":
			return a.MFA.parseIssuer(d)
		case "methods":
			return a.MFA.parseMethods(d)
		case "passkey_login":
			return a.MFA.parsePasskeyLogin(d)
		case "rp_id":
			return a.MFA.parseRPID(d)
		case "trust_browser":
			return a.MFA.parseTrustBrowser(d)
		}
		return d.Errf("unrecognized option %q; mfa knows group, grace, issuer, methods, passkey_login, rp_id and "+
			"trust_browser", option)
	}, "group")
}

func (c *MFAConfig) parseGroup(d *caddyfile.Dispenser) error {
	groups, err := someArgs(d)
	if err != nil {
		return err
	}
	c.Groups = append(c.Groups, groups...)
	return wrapErr(d, c.checkGroups())
}

func (c *MFAConfig) parseGrace(d *caddyfile.Dispenser) error {
	s, err := oneArg(d)
	if err != nil {
		return err
	}
	grace, err := caddy.ParseDuration(s)
	if err != nil || grace < 0 {
		return d.Errf("grace: %q is not a duration; write for example 14d, or 0 for at once", s)
	}
	c.Grace = new(caddy.Duration(grace))
	return nil
}

func (c *MFAConfig) parseIssuer(d *caddyfile.Dispenser) (err error) {
	if c.Issuer, err = oneArg(d); err != nil {
		return err
	}
	return wrapErr(d, c.checkIssuer())
}

// wrapErr adds file and line to an error.
func wrapErr(d *caddyfile.Dispenser, err error) error {
	if err == nil {
		return nil
	}
	return d.WrapErr(err)
}

func (c *MFAConfig) checkMode() error {
	if _, known := mfaModes[c.Mode]; !known {
		return fmt.Errorf("mfa: unknown mode %q; use off, optional, admins or required", c.Mode)
	}
	return nil
}

func (c *MFAConfig) checkGroups() error {
	for _, name := range c.Groups {
		if err := policy.FieldGroup.CheckValue(name); err != nil {
			return fmt.Errorf("mfa group: %w", err)
		}
	}
	return repeated("mfa group", c.Groups, same)
}

func (c *MFAConfig) checkIssuer() error {
	switch {
	case c.Issuer == "":
		return nil
	case strings.ContainsAny(c.Issuer, "{}"):
		return errors.New("mfa issuer: placeholders are not replaced here; write the name itself")
	case identifier.SanitizeName(c.Issuer) != c.Issuer:
		return errors.New("mfa issuer: authenticator apps could not show it; use visible characters on one line")
	case len([]rune(c.Issuer)) > maxIssuer:
		return fmt.Errorf("mfa issuer: use at most %d characters", maxIssuer)
	}
	return nil
}

// checkTogether refuses what the other lines make meaningless.
func (c *MFAConfig) checkTogether() error {
	demands := c.Mode == "admins" || c.Mode == "required" || len(c.Groups) > 0
	switch {
	case c.Mode == "off" && (len(c.Groups) > 0 || c.Grace != nil || c.Issuer != "" || len(c.Methods) > 0 ||
		c.PasskeyLogin != nil || c.RPID != "" || c.TrustBrowser != nil):
		return errors.New("mfa off: nobody is asked for a second factor, so it takes no block; remove that, or use another " +
			"mode")
	case c.Grace != nil && !demands:
		return errors.New("mfa grace: nobody has to have a second factor; add group lines, or use mfa admins or mfa required")
	}
	return nil
}

func resolveMFA(a *App, o *options) error {
	c := a.MFA
	if c == nil {
		return nil
	}
	for _, check := range []func() error{c.checkMode, c.checkGroups, c.checkIssuer, c.checkTrustBrowser, c.checkTogether} {
		if err := check(); err != nil {
			return err
		}
	}
	o.second = login.SecondFactors{Mode: mfaModes[c.Mode], Groups: slices.Clone(c.Groups), Issuer: c.Issuer}
	if c.Grace != nil {
		if *c.Grace < 0 {
			return errors.New("mfa grace: must not be negative")
		}
		o.second.Grace, o.second.GraceSet = time.Duration(*c.Grace), true
	}
	if c.TrustBrowser != nil {
		o.second.TrustBrowser = time.Duration(*c.TrustBrowser)
	}
	return nil
}

func mfaSettings(a *App, s *settings) {
	c := a.MFA
	if c == nil {
		c = &MFAConfig{}
	}
	grace := span(login.DefaultGrace)
	if c.Grace != nil {
		grace = span(time.Duration(*c.Grace))
	}
	s.add("mfa", "mode", cmp.Or(c.Mode, "optional"), c.Mode == "")
	s.add("mfa", "group", strings.Join(c.Groups, ", "), len(c.Groups) == 0)
	s.add("mfa", "grace", grace, c.Grace == nil)
	s.add("mfa", "issuer", cmp.Or(c.Issuer, a.opt.title), c.Issuer == "")
	trust := "off"
	if d := a.opt.second.TrustBrowser; d > 0 {
		trust = span(d)
	}
	s.add("mfa", "trust_browser", trust, c.TrustBrowser == nil)
}

// warnOfUnusedFactors says how many people have a second factor that they are not asked for.
func (a *App) warnOfUnusedFactors(ctx context.Context, st store.Store) error {
	if a.opt.second.Mode != login.MFAOff {
		return nil
	}
	n, err := st.CountUsers(ctx, store.UserQuery{MFA: store.MFAAny})
	if err != nil {
		return fmt.Errorf("counting second factors: %w", err)
	}
	if n > 0 {
		a.log.Warn("mfa off: nobody is asked for a second factor, though some have one; they are kept",
			zap.Int("people", n))
	}
	a.unusedFactors.Store(int64(n))
	return nil
}
