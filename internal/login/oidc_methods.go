package login

import (
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/store"
)

// methodsOf returns the methods of a sign-in or step-up at a provider, and when a second factor was proved there, zero
// where it vouches for none or does not say when.
func methodsOf(cfg *oidc.Config, p *oidc.Claims) (assurance.Methods, time.Time) {
	methods := assurance.Of(assurance.External)
	factors, strong := cfg.VouchedFor(p)
	if !factors {
		return methods, time.Time{}
	}
	return methods.Vouched(strong, cfg.Words(p)...), p.AuthTime().UTC()
}

// Methods returns what was proved in a session, without a provider's word that this configuration does not believe: a
// line or a value that is taken back counts at once, because the session has what the provider said. Which provider it
// was is part of that: the session may have begun otherwise.
func (o *OIDC) Methods(s *store.Session) assurance.Methods {
	m := assurance.Methods(s.Methods)
	if !m.IsVouched() {
		return m
	}
	var configs []*oidc.Config
	if o != nil {
		configs = o.Registry.Configs()
	}
	factors, strong := false, false
	for _, c := range configs {
		f, st := c.Believes(m.Said)
		factors, strong = factors || f, strong || st
	}
	return m.Believed(factors, strong)
}
