package oidc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MFA says whether a provider's word on a second factor counts. The zero value is no.
type MFA struct {
	By     MFAClaim
	Values []string // any of which is enough; none for [MFATrust]
}

// MFAClaim is what shows that a provider has asked for two factors.
type MFAClaim string

// What shows it. The empty value means ask.
const (
	MFAAsk   MFAClaim = "ask"   // nothing: the person's second factor here, if any, is asked for
	MFATrust MFAClaim = "trust" // each sign-in
	MFAByAMR MFAClaim = "amr"   // a value of amr (RFC 8176)
	MFAByACR MFAClaim = "acr"   // acr (OpenID Connect Core 1.0, section 2)
)

// phishingResistant are values of acr that say that phishing could not have succeeded (OpenID Connect EAP ACR Values).
var phishingResistant = []string{"phr", "phrh"}

// Vouches reports whether a provider may ever vouch for two factors; strong asks for one that phishing cannot get at.
func (c *Config) Vouches(strong bool) bool {
	switch c.MFA.By {
	case MFATrust, MFAByAMR:
		return true
	case MFAByACR:
		return !strong || slices.ContainsFunc(c.MFA.Values, isStrong)
	case MFAAsk:
	}
	return false
}

func isStrong(acr string) bool { return slices.Contains(phishingResistant, acr) }

// VouchedFor reports whether the provider has asked the person for two factors, as the configuration believes it, and
// whether phishing could not have succeeded. Only what the ID token of this sign-in says counts: it is signed, and what
// was asked for in the authorization request is not, for the browser can change that.
func (c *Config) VouchedFor(p *Claims) (factors, strong bool) {
	switch c.MFA.By {
	case MFATrust:
		factors = true
	case MFAByAMR:
		factors = slices.ContainsFunc(p.amr, func(v string) bool { return slices.Contains(c.MFA.Values, v) })
	case MFAByACR:
		factors = p.acr != "" && slices.Contains(c.MFA.Values, p.acr)
	case MFAAsk:
	}
	return factors, factors && isStrong(p.acr)
}

// setAuthentication reads how the person was authenticated. A value of another kind says nothing: amr is a list of
// texts, acr a text.
func (p *Claims) setAuthentication(v *verifiedToken) {
	if !v.signedNow() {
		return
	}
	p.acr, _ = v.claims.get("acr").asString()
	if list := v.claims.get("amr"); list.isList() {
		p.amr, _ = list.asStrings()
	}
}

// checkStepUp refuses a step-up whose ID token does not have an acr that was asked for.
func (p *provider) checkStepUp(c *Claims) error {
	if len(p.StepUpACR) == 0 || c.acr != "" && slices.Contains(p.StepUpACR, c.acr) {
		return nil
	}
	return fail(NotReauthenticated, "the provider did not authenticate the user as it was asked to: acr is %s, and not %s",
		orDefault(Clean(c.acr, 60), "missing"), strings.Join(p.StepUpACR, " or "))
}

// checkMFA checks the options mfa and step_up.
func (c *Config) checkMFA() error {
	switch c.MFA.By {
	case "", MFAAsk, MFATrust:
		if len(c.MFA.Values) > 0 {
			return fmt.Errorf("mfa %s: it takes no value", c.MFA.By)
		}
	case MFAByAMR, MFAByACR:
		if len(c.MFA.Values) == 0 {
			return fmt.Errorf("mfa %s: give at least one value, such as mfa %s mfa", c.MFA.By, c.MFA.By)
		}
	default:
		return fmt.Errorf("mfa: %q is unknown; use ask, trust, amr <value>… or acr <value>…", Clean(string(c.MFA.By), 40))
	}
	for option, values := range map[string][]string{
		"mfa " + string(c.MFA.By): c.MFA.Values, "step_up acr_values": c.StepUpACR,
	} {
		for _, v := range values {
			if v == "" || len(v) > maxParam || !plainText(v) || strings.Contains(v, " ") {
				return fmt.Errorf("%s: %q is no value: it has to be a text without blanks", option, Clean(v, 60))
			}
		}
	}
	if c.MFA.By == MFATrust && len(c.StepUpACR) > 0 {
		return errors.New("mfa trust and step_up contradict each other: one believes every sign-in, the other asks for a " +
			"particular one; use mfa acr with those values, or leave step_up out")
	}
	return nil
}
