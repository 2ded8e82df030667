package caddyauth

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
)

// ProviderMFA says whether a provider's word on a second factor counts. Only its signed ID token is read for it.
type ProviderMFA struct {
	// By is `ask` (the person's second factor here, if any, is asked for), `trust` (every sign-in there counts as two
	// factors), `amr` or `acr` (one with any of the values does).
	By string `json:"by"`
	// Values of amr or acr, exactly as the provider sends them.
	Values []string `json:"values,omitempty"`
}

// ProviderStepUp says what is asked of a provider where somebody has to prove more, or to prove it again.
type ProviderStepUp struct {
	// ACRValues go along as acr_values. What comes back with another acr, or with none, proves nothing.
	ACRValues []string `json:"acr_values,omitempty"`
}

// parseMFA reads `mfa ask|trust` or `mfa amr|acr <value>…`.
func (p *ProviderConfig) parseMFA(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.Err("mfa takes ask, trust, amr <value>… or acr <value>…")
	}
	p.MFA = &ProviderMFA{By: args[0], Values: args[1:]}
	return nil
}

// parseStepUp reads `step_up acr_values <value>…`.
func (p *ProviderConfig) parseStepUp(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) < 2 || args[0] != "acr_values" {
		return d.Err("step_up takes acr_values and at least one value")
	}
	p.StepUp = &ProviderStepUp{ACRValues: args[1:]}
	return nil
}

func (p *ProviderConfig) mfaValues() []string {
	if p.MFA == nil {
		return nil
	}
	return p.MFA.Values
}

func (p *ProviderConfig) stepUpACR() []string {
	if p.StepUp == nil {
		return nil
	}
	return p.StepUp.ACRValues
}

// vouches reports whether the provider may vouch for two factors, and with strong for one that phishing cannot get at.
func (p *ProviderConfig) vouches(strong bool) bool {
	c := oidc.Config{}
	if p != nil && p.MFA != nil {
		c.MFA = oidc.MFA{By: oidc.MFAClaim(p.MFA.By), Values: p.MFA.Values}
	}
	return c.Vouches(strong)
}
