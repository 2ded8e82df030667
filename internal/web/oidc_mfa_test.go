package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

// level is how the session says that its person was authenticated.
type level struct {
	ACR     string
	AMR     []string
	Time    *time.Time
	MFATime *time.Time `json:"mfa_time"`
}

func (b *browser) level() level {
	b.w.T.Helper()
	var who struct{ Auth level }
	b.get("/api/v1/session").want(b.w.T, http.StatusOK).json(b.w.T, &who)
	return who.Auth
}

// says sets claims of the ID token; nil ones are removed.
func says(idp *provider.Provider, claims map[string]any) {
	idp.SetFaults(func(l *provider.Faults) {
		l.ID = func(c map[string]any) {
			for name, v := range claims {
				if c[name] = v; v == nil {
					delete(c, name)
				}
			}
		}
	})
}

// What a provider says of a second factor counts only as the configuration believes it, exactly, and from the signed ID
// token.
func TestAProvidersWordOnASecondFactorCountsByRuleAlone(t *testing.T) {
	t.Parallel()
	ask, trust := oidc.MFA{By: oidc.MFAAsk}, oidc.MFA{By: oidc.MFATrust}
	byAMR := oidc.MFA{By: oidc.MFAByAMR, Values: []string{"mfa", "hwk"}}
	byACR := oidc.MFA{By: oidc.MFAByACR, Values: []string{"urn:two", "phr"}}
	type m = map[string]any
	for name, c := range map[string]struct {
		rule   oidc.MFA
		claims m
		want   string
	}{
		"nothing configured":              {oidc.MFA{}, m{"amr": []string{"mfa"}, "acr": "phr"}, "aal1"},
		"ask":                             {ask, m{"amr": []string{"mfa"}, "acr": "phr"}, "aal1"},
		"trust":                           {trust, nil, "aal2"},
		"trust, and what phishing is not": {trust, m{"acr": "phrh"}, "phr"},
		"amr has it":                      {byAMR, m{"amr": []string{"pwd", "hwk"}}, "aal2"},
		"amr has another":                 {byAMR, m{"amr": []string{"pwd", "otp"}}, "aal1"},
		"amr in another case":             {byAMR, m{"amr": []string{"MFA"}}, "aal1"},
		"amr is a text":                   {byAMR, m{"amr": "mfa"}, "aal1"},
		"amr is a text of two":            {byAMR, m{"amr": "pwd mfa"}, "aal1"},
		"amr has more than texts":         {byAMR, m{"amr": []any{"mfa", 1}}, "aal1"},
		"amr is a list within":            {byAMR, m{"amr": []any{[]string{"mfa"}}}, "aal1"},
		"amr is an object":                {byAMR, m{"amr": m{"mfa": true}}, "aal1"},
		"amr is empty":                    {byAMR, m{"amr": []string{}}, "aal1"},
		"amr is missing":                  {byAMR, m{"acr": "phr"}, "aal1"},
		"a name in another case":          {byAMR, m{"AMR": []string{"mfa"}, "Amr": []string{"mfa"}}, "aal1"},
		"amr, and an acr beside it":       {byAMR, m{"amr": []string{"mfa"}, "acr": "phr"}, "phr"},
		"acr is it":                       {byACR, m{"acr": "urn:two"}, "aal2"},
		"acr is what phishing is not":     {byACR, m{"acr": "phr"}, "phr"},
		"acr is not in the list":          {byACR, m{"acr": "phrh"}, "aal1"},
		"acr in another case":             {byACR, m{"acr": "URN:two"}, "aal1"},
		"acr begins with it":              {byACR, m{"acr": "urn:two:x"}, "aal1"},
		"acr is a list":                   {byACR, m{"acr": []string{"urn:two"}}, "aal1"},
		"acr is several":                  {byACR, m{"acr": "urn:two phr"}, "aal1"},
		"acr is a number":                 {byACR, m{"acr": 2}, "aal1"},
		"acr is missing":                  {byACR, m{"amr": []string{"mfa"}}, "aal1"},
		"acr is empty":                    {byACR, m{"acr": ""}, "aal1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t, func(cfg *oidc.Config) { cfg.MFA = c.rule })
			says(w.idp, c.claims)
			b := w.browser()
			b.viaProvider("").wantRedirect(t, "/")
			got := b.level()
			if got.ACR != c.want || (got.MFATime != nil) != (c.want != "aal1") || len(got.AMR) == 0 || got.AMR[0] != "ext" {
				t.Errorf("%+v, want %s", got, c.want)
			}
			if got.MFATime != nil && !got.MFATime.Equal(*got.Time) {
				t.Errorf("the second factor is of %v, and the sign-in of %v", got.MFATime, got.Time)
			}
		})
	}
}

// Userinfo is not signed, and says nothing of how somebody was authenticated.
func TestUserinfoVouchesForNoSecondFactor(t *testing.T) {
	t.Parallel()
	for _, by := range []oidc.MFA{{By: oidc.MFAByAMR, Values: []string{"mfa"}}, {By: oidc.MFAByACR, Values: []string{"phr"}}} {
		w := newOIDCWorld(t, func(cfg *oidc.Config) { cfg.MFA = by })
		w.idp.SetFaults(func(l *provider.Faults) {
			l.UserInfo = func(c map[string]any) { c["amr"], c["acr"] = []string{"mfa"}, "phr" }
		})
		b := w.browser()
		b.viaProvider("").wantRedirect(t, "/")
		if got := b.level(); got.ACR != "aal1" || got.MFATime != nil {
			t.Errorf("%+v", got)
		}
	}
}

// A provider that does not say when leaves nothing that is fresh, whatever it vouches for.
func TestAVouchedSecondFactorWithoutATimeIsNeverFresh(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t, func(cfg *oidc.Config) { cfg.MFA = oidc.MFA{By: oidc.MFATrust} })
	says(w.idp, map[string]any{"auth_time": nil})
	b := w.browser()
	b.viaProvider("").wantRedirect(t, "/")
	if got := b.level(); got.ACR != "aal2" || got.MFATime != nil || got.Time != nil {
		t.Errorf("%+v", got)
	}
}

// A step-up asks for what is configured, whatever else is, and grants nothing where something else comes back: the
// browser may have changed what was asked.
func TestAStepUpAtAProviderGrantsOnlyWhatTheSignedTokenHas(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		acr  any
		want string // "" for not granted
	}{
		"as asked":       {"phr", "phr"},
		"the other one":  {"urn:two", "aal2"},
		"another":        {"urn:one", ""},
		"another case":   {"PHR", ""},
		"none":           {nil, ""},
		"a list":         {[]string{"phr"}, ""},
		"both as a text": {"phr urn:two", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t, func(cfg *oidc.Config) {
				cfg.MFA = oidc.MFA{By: oidc.MFAByACR, Values: []string{"phr", "urn:two"}}
				cfg.StepUpACR = []string{"phr", "urn:two"}
				cfg.AuthParams = []oidc.AuthParam{{Name: "acr_values", Value: "urn:one"}}
			})
			b := w.browser()
			b.viaProvider("").wantRedirect(t, "/")
			before, token := b.level(), b.token()
			w.Clock.Advance(20 * time.Minute)
			says(w.idp, map[string]any{"acr": c.acr})
			address := b.start("?reauth=1")
			to, err := url.Parse(address)
			if err != nil || to.Query()["acr_values"][0] != "phr urn:two" || len(to.Query()["acr_values"]) != 1 || to.Query().Get("max_age") != "0" {
				t.Fatalf("%s %v", address, err)
			}
			a := b.callback(strings.ReplaceAll(address, "phr+urn%3Atwo", "urn%3Aone"))
			after := b.level()
			if c.want == "" {
				a.want(t, http.StatusBadRequest, unproved)
				if after.ACR != before.ACR || !after.Time.Equal(*before.Time) || after.MFATime != nil || b.token() != token {
					t.Errorf("granted %+v after %+v", after, before)
				}
				return
			}
			if after.ACR != c.want || after.MFATime == nil || !after.MFATime.Equal(*after.Time) || !after.Time.After(*before.Time) || b.token() == token {
				t.Errorf("%+v after %+v", after, before)
			}
		})
	}
}

// A line or a value that is taken back counts with the next request: the session has what the provider said, and what
// is no longer believed of that counts no more. What is believed later of somebody who was not vouched for adds nothing.
func TestWhatIsNoLongerBelievedOfAProviderCountsNoMore(t *testing.T) {
	t.Parallel()
	by := func(claim oidc.MFAClaim, values ...string) oidc.MFA { return oidc.MFA{By: claim, Values: values} }
	type rule struct {
		oidc.MFA
		want string
	}
	rest := []rule{{by(oidc.MFAAsk), "aal1"}, {oidc.MFA{}, "aal1"}, {by(oidc.MFATrust), "phr"}}
	for name, c := range map[string]struct {
		first  oidc.MFA
		claims map[string]any
		rules  []rule
	}{
		"acr": {by(oidc.MFAByACR, "phr"), map[string]any{"acr": "phr", "amr": nil}, append([]rule{
			{by(oidc.MFAByACR, "phr"), "phr"},
			{by(oidc.MFAByACR, "urn:two"), "aal1"},
			{by(oidc.MFAByACR, "urn:two", "phr"), "phr"},
			{by(oidc.MFAByACR, "PHR"), "aal1"},
			{by(oidc.MFAByAMR, "phr"), "aal1"},
		}, rest...)},
		"amr": {by(oidc.MFAByAMR, "hwk"), map[string]any{"acr": "phr", "amr": []string{"pwd", "hwk"}}, append([]rule{
			{by(oidc.MFAByAMR, "hwk"), "phr"},
			{by(oidc.MFAByAMR, "otp"), "aal1"},
			{by(oidc.MFAByAMR, "otp", "hwk"), "phr"},
			{by(oidc.MFAByACR, "hwk"), "aal1"},
			{by(oidc.MFAByACR, "phr"), "phr"},
			{by(oidc.MFAByAMR, "mfa"), "aal1"},
		}, rest...)},
		"trust": {by(oidc.MFATrust), map[string]any{"acr": "urn:two", "amr": nil}, []rule{
			{by(oidc.MFATrust), "aal2"},
			{by(oidc.MFAByACR, "urn:one"), "aal1"},
			{by(oidc.MFAByACR, "urn:two"), "aal2"},
			{by(oidc.MFAByAMR, "mfa"), "aal1"},
			{oidc.MFA{}, "aal1"},
		}},
		"not vouched for": {by(oidc.MFAByACR, "urn:two"), map[string]any{"acr": "phr", "amr": []string{"hwk"}}, []rule{
			{by(oidc.MFAByACR, "phr"), "aal1"}, {by(oidc.MFAByAMR, "hwk"), "aal1"}, {by(oidc.MFATrust), "aal1"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOIDCWorld(t, func(cfg *oidc.Config) { cfg.MFA = c.first })
			says(w.idp, c.claims)
			b := w.browser()
			b.viaProvider("").wantRedirect(t, "/")
			for _, r := range c.rules {
				w.reconfigure(t, func(cfg *oidc.Config) { cfg.MFA = r.MFA })
				w.Sessions.InvalidateAll() // as a reload does
				got := b.level()
				if got.ACR != r.want {
					t.Errorf("with %+v: %+v, want %s", r.MFA, got, r.want)
				}
				for _, m := range got.AMR {
					if strings.ContainsAny(m, "+:") {
						t.Errorf("a fingerprint is shown: %q", got.AMR)
					}
				}
			}
		})
	}
}
