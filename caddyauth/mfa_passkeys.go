package caddyauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/store"
)

// The lines of the option mfa about passkeys, and about which second factors there are.

// Second factors by their names.
const (
	mfaTOTP    = "totp"
	mfaPasskey = "passkey"
)

func (c *MFAConfig) parseMethods(d *caddyfile.Dispenser) (err error) {
	if c.Methods, err = someArgs(d); err != nil {
		return err
	}
	return wrapErr(d, c.checkMethods())
}

func (c *MFAConfig) parsePasskeyLogin(d *caddyfile.Dispenser) error {
	s, err := oneArg(d)
	if err != nil {
		return err
	}
	if s != "on" && s != "off" {
		return d.Errf("passkey_login: %q is neither on nor off", s)
	}
	c.PasskeyLogin = new(s == "on")
	return nil
}

func (c *MFAConfig) parseRPID(d *caddyfile.Dispenser) (err error) {
	if c.RPID, err = oneArg(d); err != nil {
		return err
	}
	return wrapErr(d, c.checkRPID())
}

func (c *MFAConfig) checkMethods() error {
	for _, m := range c.Methods {
		if m != mfaTOTP && m != mfaPasskey {
			return fmt.Errorf("mfa methods: unknown method %q; use totp, passkey or both", m)
		}
	}
	return repeated("mfa methods", c.Methods, same)
}

// checkRPID refuses what no browser takes for the domain of a passkey (Web Authentication Level 3, section 5.1.4.1).
func (c *MFAConfig) checkRPID() error {
	if c.RPID == "" {
		return nil
	}
	d, err := cookieDomain(c.RPID)
	if err != nil {
		return errors.New("mfa rp_id" + strings.TrimPrefix(err.Error(), "session cookie_domain"))
	}
	if d != c.RPID {
		return fmt.Errorf("mfa rp_id: write %q as %q, as browsers do", c.RPID, d)
	}
	return nil
}

// checkPasskeys refuses lines about passkeys where there are none.
func (c *MFAConfig) checkPasskeys() error {
	switch {
	case c.hasPasskeys():
		return nil
	case c.PasskeyLogin != nil && *c.PasskeyLogin:
		return errors.New("mfa passkey_login on: there are no passkeys; add passkey to methods, or leave the line out")
	case c.RPID != "":
		return errors.New("mfa rp_id: there are no passkeys; add passkey to methods, or leave the line out")
	}
	return nil
}

func (c *MFAConfig) hasPasskeys() bool {
	return len(c.Methods) == 0 || slices.Contains(c.Methods, mfaPasskey)
}

// resolvePasskeys runs after the session is resolved: passkeys belong to the domain of its cookie.
func resolvePasskeys(a *App, o *options) error {
	o.second.PasskeyDomain = o.cookieDomain
	c := a.MFA
	if c == nil {
		return nil
	}
	for _, check := range []func() error{c.checkMethods, c.checkRPID, c.checkPasskeys} {
		if err := check(); err != nil {
			return err
		}
	}
	o.second.PasskeyDomain = cmp.Or(c.RPID, o.cookieDomain)
	o.second.NoPasskeys = !c.hasPasskeys()
	o.second.NoTOTP = len(c.Methods) > 0 && !slices.Contains(c.Methods, mfaTOTP)
	o.second.NoPasskeyLogin = c.PasskeyLogin != nil && !*c.PasskeyLogin
	return nil
}

func passkeySettings(a *App, s *settings) {
	c := a.MFA
	if c == nil {
		c = &MFAConfig{}
	}
	methods := strings.Join(c.Methods, ", ")
	s.add("mfa", "methods", cmp.Or(methods, mfaTOTP+", "+mfaPasskey), methods == "")
	s.add("mfa", "passkey_login", onOff(c.PasskeyLogin == nil || *c.PasskeyLogin), c.PasskeyLogin == nil)
	s.add("mfa", "rp_id", a.opt.second.PasskeyDomain, c.RPID == "")
}

// checkRPSite refuses a domain of passkeys that no site with a gate is within: none could be made anywhere.
func (a *App) checkRPSite(sites siteNames) error {
	if a.MFA == nil || a.MFA.RPID == "" || a.opt.forwardedHost || sites.within(a.MFA.RPID) {
		return nil
	}
	return fmt.Errorf("global option gatehouse: mfa rp_id %s: no site with a gate is this domain or below it, so that no "+
		"passkey would belong to it; gated sites are %s: name the domain that they have in common, or leave the line out",
		a.MFA.RPID, strings.Join(sites.names, " "))
}

// warnOfLostPasskeys says which passkeys belong to a domain that no site has (any more): nobody can use them.
func (a *App) warnOfLostPasskeys(ctx context.Context, st store.Store) error {
	if a.sites.any || len(a.sites.names) == 0 || a.opt.second.Mode == login.MFAOff || a.opt.second.NoPasskeys {
		return nil
	}
	domains, err := st.PasskeySites(ctx)
	if err != nil {
		return fmt.Errorf("counting passkeys: %w", err)
	}
	var lost []store.PasskeySite
	for _, d := range domains {
		if a.usesRPID(d.RPID) {
			continue
		}
		lost = append(lost, d)
		a.log.Warn("passkeys belong to a domain that no site uses: their owners cannot sign in with them; see rp_id and "+
			"cookie_domain", zap.String("domain", d.RPID), zap.Int("passkeys", d.Count))
	}
	a.lostPasskeys.Store(&lost)
	return nil
}

// usesRPID reports whether passkeys of a domain work at some site.
func (a *App) usesRPID(rpID string) bool {
	domain := a.opt.second.PasskeyDomain
	return rpID == domain || a.sites.serves(rpID) && (domain == "" || !strings.HasSuffix(rpID, "."+domain))
}
