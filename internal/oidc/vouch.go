package oidc

import (
	"crypto/sha256"
	"encoding/base64"
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

// maxSaid bounds how many values of amr are kept.
const maxSaid = 8

// strongly marks what was said together with an acr that says that phishing could not have succeeded.
const strongly = "!"

// word returns the fingerprint of something that the provider says, with a kind of claim. That of another provider is
// another one.
func (c *Config) word(claim MFAClaim, strong bool, value string) string {
	kind := string(claim)
	if strong {
		kind += strongly
	}
	sum := sha256.Sum256([]byte(c.Name + "\x00" + c.Issuer + "\x00" + kind + "\x00" + value))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// Words returns fingerprints of what a sign-in that the provider vouches for was vouched with, for [Config.Believes].
func (c *Config) Words(p *Claims) []string {
	var words []string
	add := func(claim MFAClaim, value string) {
		words = append(words, c.word(claim, false, value))
		if isStrong(p.acr) {
			words = append(words, c.word(claim, true, value))
		}
	}
	add(MFATrust, "")
	if p.acr != "" {
		add(MFAByACR, p.acr)
	}
	kept := 0
	for _, v := range p.amr {
		if kept < maxSaid || c.MFA.By == MFAByAMR && slices.Contains(c.MFA.Values, v) {
			add(MFAByAMR, v)
			kept++
		}
	}
	return words
}

// Believes reports whether the configuration, as it is now, believes what the provider said when it vouched; said
// reports whether it said what has a fingerprint. The results are those of [Config.VouchedFor].
func (c *Config) Believes(said func(word string) bool) (factors, strong bool) {
	values := c.MFA.Values
	switch c.MFA.By {
	case MFATrust:
		values = []string{""}
	case MFAByAMR, MFAByACR:
	default:
		return false, false
	}
	for _, v := range values {
		factors = factors || said(c.word(c.MFA.By, false, v))
		strong = strong || said(c.word(c.MFA.By, true, v))
	}
	return factors, factors && strong
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
