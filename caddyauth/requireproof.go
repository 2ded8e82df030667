package caddyauth

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// The rules `require mfa` and `require fresh`: how surely a session belongs to its person, and what becomes of one that
// proves too little.

// checkProofLines refuses two lines of which one alone says the same.
func checkProofLines(rules []Rule) error {
	seen := make(map[string]bool)
	for _, r := range rules {
		if !r.AboutSession() {
			continue
		}
		kind := string(r.Field)
		if r.Field == policy.FieldFresh && len(r.Values) == 2 {
			kind += " … mfa"
		}
		if seen[kind] {
			return fmt.Errorf("require %s is given twice; keep the stricter line", kind)
		}
		seen[kind] = true
	}
	return nil
}

// checkProof refuses a rule that no session could ever meet.
func (a *App) checkProof(r Rule) error {
	need := policy.NeedOf([]Rule{r})
	if need.IsZero() {
		return nil
	}
	var o options
	if err := resolveSession(a, &o); err != nil {
		return err
	}
	if most := o.limits.Absolute; need.MaxAge() > most {
		return fmt.Errorf("require fresh %s: no session lasts longer than %s (session absolute), so that asks for nothing; "+
			"use a shorter time", r.Values[0], span(most))
	}
	if need.Level == "" || a.MFA == nil || a.MFA.Mode != "off" {
		return nil
	}
	strong := need.Level == assurance.PhishingResistant
	if slices.ContainsFunc(a.OIDC, func(p *ProviderConfig) bool { return p.vouches(strong) }) {
		return nil
	}
	return errors.New("require " + string(r.Field) + ": nobody could satisfy it: mfa is off, and no provider vouches " +
		"for a second factor; use another mode of mfa, or add mfa amr, mfa acr or mfa trust to a provider")
}

// asks returns what the gate asks of a session that satisfies the rules about people, or else the first of these that
// it does not satisfy. An administrator whose rights are held back satisfies them after a second factor.
func (g *Gate) asks(s *session.Live) (assurance.Need, *Rule) {
	subject := policy.Subject{User: &s.User, Provider: login.ProviderOf(s)}
	rule := policy.FirstUnsatisfied(g.Require, subject)
	if rule == nil || !s.Held {
		return g.need, rule
	}
	u := s.User
	u.Role, subject.User = store.RoleAdmin, &u
	if still := policy.FirstUnsatisfied(g.Require, subject); still != nil {
		return g.need, still
	}
	return g.need.And(assurance.Need{Level: assurance.Two}), nil
}

// keeps returns the level that the session must not lose while the request is open.
func (g *Gate) keeps(req *request) assurance.Level {
	level := req.live.second.Keeps(req.session)
	if g.optional.Match(req.target) {
		return level
	}
	return g.need.And(assurance.Need{Level: level}).Level
}

// stepUp responds to a signed-in person whose session does not meet a need. Only a page load is redirected: a form
// would lose what was sent, and scripts and programs get nothing by a page.
func (g *Gate) stepUp(w http.ResponseWriter, r *http.Request, req *request, need assurance.Need) error {
	req.first.identity = identityOf(req.live.oidc, req.session)
	kind := req.kind(r, g.api)
	countStepUp(req, need, kind == kindPage)
	g.refusing(w, r)
	responses, q := req.live.site.Responses, req.forPages(r)
	switch kind {
	case kindPage:
		h := w.Header()
		decisionHeaders(h)
		h["X-Content-Type-Options"], h["Referrer-Policy"], h["X-Robots-Tag"] = nosniff, sameOrigin, noIndex
		req.forgetCache(h)
		h["Location"] = []string{responses.StepUpURL(w, q, req.uri, need)}
		w.WriteHeader(http.StatusFound)
	case kindForm, kindFrame:
		responses.StepUp(w, q, req.session, need, responses.StepUpURL(w, q, req.pageOf(r), need), shape(kind))
	case kindAPI, kindWorker:
		address := web.ScriptStepUpURL(req.live.opt.prefix)
		if g.allowsOrigin(r) { // a path would be one of the script's own site
			address = req.pageContext(r).Absolute(address)
		}
		responses.StepUp(w, q, req.session, need, address, shape(kind))
	}
	return nil
}

// countStepUp counts a request that a path wants more proof for.
func countStepUp(req *request, need assurance.Need, redirected bool) {
	asked, outcome := "fresh", "refused"
	if need.Lacks(req.session.Proof(), time.Now()) == assurance.LacksLevel {
		asked = "mfa"
	}
	if redirected {
		outcome = "redirected"
	}
	req.live.rt.Metrics.StepUp(asked, outcome)
}

// noResponse is the response of a request that is only asked about.
type noResponse struct{}

func (noResponse) Header() http.Header         { return make(http.Header) }
func (noResponse) Write(b []byte) (int, error) { return len(b), nil }
func (noResponse) WriteHeader(int)             {}

// needs returns what the gates of a server ask of a session on a page of its site, for the page where that is proved. r
// is the request for that page.
func (a *App) needs(r *http.Request, page *url.URL, s *session.Live) assurance.Need {
	srv, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	l := a.live.Load()
	if !ok || srv == nil || l == nil {
		return assurance.Need{}
	}
	asked := r.Clone(r.Context())
	asked.Method, asked.Body, asked.ContentLength = http.MethodGet, http.NoBody, 0
	asked.URL = &url.URL{Path: page.Path, RawPath: page.RawPath, RawQuery: page.RawQuery}
	asked.RequestURI = asked.URL.RequestURI()
	asked = caddyhttp.PrepareRequest(asked, caddy.NewReplacer(), noResponse{}, srv)
	req := newRequest(a, asked)
	req.live, req.target = l, policy.NewTarget(req.rulePath(), req.currentPath(asked))
	var need assurance.Need
	for _, p := range a.placedGates(srv) {
		g := p.gate
		if !p.guards(asked, req) || g.public.Match(req.target) || g.optional.Match(req.target) {
			continue
		}
		n, rule := g.asks(s)
		if rule != nil {
			return assurance.Need{} // whatever is proved, the page stays closed
		}
		need = need.And(n)
	}
	return need
}
