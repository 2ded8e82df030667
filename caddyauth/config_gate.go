package caddyauth

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
)

// Validate implements caddy.Validator: what the Caddyfile refuses with file and line is refused in JSON, too.
func (g *Gate) Validate() error {
	for _, check := range []func() error{g.checkPaths, g.checkRequire, g.checkHeaders} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// checkPaths refuses paths that say nothing, or two things.
func (g *Gate) checkPaths() error {
	for _, list := range []struct {
		option string
		paths  []string
	}{{"public", g.Public}, {"optional", g.Optional}, {"api", g.API}} {
		for _, p := range list.paths {
			if strings.ContainsAny(p, "{}") {
				return fmt.Errorf("%s: path %q: placeholders are not replaced here; write the path itself, with %%7B and %%7D for braces", list.option, p)
			}
		}
		if err := repeated(list.option, list.paths, same); err != nil {
			return err
		}
	}
	for _, p := range g.Optional {
		if slices.Contains(g.Public, p) {
			return fmt.Errorf("path %q is both public and optional; choose one: public passes no identity on", p)
		}
	}
	return nil
}

// ruleKey returns what makes two values of a rule the same, as the rule itself compares them.
func ruleKey(f policy.Field) func(string) string {
	switch f {
	case policy.FieldUser:
		return identifier.Fold
	case policy.FieldEmail, policy.FieldDomain:
		return identifier.FoldMail
	case policy.FieldRole, policy.FieldGroup, policy.FieldProvider:
	}
	return same
}

// checkRequire refuses rules that say the same twice, and those that nobody could satisfy together: a lock-out should
// be seen when the configuration is written. A person has any number of groups, but one of everything else.
func (g *Gate) checkRequire() error {
	left := make(map[policy.Field][]string) // values that satisfy all lines so far
	said := make(map[string]bool)
	for _, r := range g.Require {
		if strings.ContainsAny(strings.Join(r.Values, ""), "{}") {
			return errors.New("require: placeholders are not replaced here; write the value itself")
		}
		key := ruleKey(r.Field)
		if err := repeated("require "+string(r.Field), r.Values, key); err != nil {
			return err
		}
		values := make([]string, len(r.Values))
		for i, v := range r.Values {
			values[i] = key(v)
		}
		line := string(r.Field) + " " + strings.Join(slices.Sorted(slices.Values(values)), "\x00")
		if said[line] {
			return fmt.Errorf("require %s %s is given twice", r.Field, strings.Join(r.Values, " "))
		}
		said[line] = true
		if earlier, ok := left[r.Field]; ok {
			values = slices.DeleteFunc(values, func(v string) bool { return !slices.Contains(earlier, v) })
		}
		left[r.Field] = values
		if len(values) == 0 && r.Field != policy.FieldGroup {
			return fmt.Errorf("require %s: nobody can satisfy all of these lines; put the values on one line if any of them is enough", r.Field)
		}
	}
	return mailFits(left[policy.FieldEmail], left[policy.FieldDomain])
}

// knownProviders refuses a rule about a provider that is none of these.
func knownProviders(r Rule, providers []string) error {
	if r.Field != policy.FieldProvider {
		return nil
	}
	for _, v := range r.Values {
		if !slices.Contains(providers, v) {
			return fmt.Errorf("require provider: there is no provider %q; configure it with oidc in the global option, or use local", v)
		}
	}
	return nil
}

// mailFits refuses addresses of which none is in the domains.
func mailFits(emails, domains []string) error {
	if len(emails) == 0 || len(domains) == 0 {
		return nil
	}
	for _, e := range emails {
		if _, domain, ok := identifier.SplitEmail(e); ok && slices.Contains(domains, domain) {
			return nil
		}
	}
	return errors.New("require: nobody can satisfy both lines: none of the e-mail addresses is in one of the domains")
}

// checkHeaders refuses names of headers that have a use of their own. What goes upstream under a configured name is
// taken from every client's request on every site, so such a name would break more than this one gate.
func (g *Gate) checkHeaders() error {
	for _, h := range g.Headers {
		name := http.CanonicalHeaderKey(h.Name)
		for _, t := range taken {
			if slices.Contains(t.names, name) || slices.ContainsFunc(t.families, func(f string) bool { return strings.HasPrefix(name, f) }) {
				return fmt.Errorf("header %s: %s; choose a name such as X-Auth-User", name, t.why)
			}
		}
	}
	return nil
}

// taken are names that no identity may go under, beside the reserved ones. Names that other gates use for identities,
// such as X-Forwarded-User, are free.
var taken = []struct {
	names, families []string
	why             string
}{
	{why: "programs send the app their own credentials in it",
		names: []string{"Authorization", "Proxy-Authorization", "Dpop", "X-Api-Key"}},
	{why: "it says how the message travels, and proxies write it",
		names: []string{"Via", "Date", "Max-Forwards", "Early-Data", "Priority", "Alt-Used", "Http2-Settings", "Client-Cert", "Client-Cert-Chain",
			"X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server", "X-Forwarded-By", "X-Forwarded-Ssl", "X-Forwarded-Scheme", "X-Forwarded-Path",
			"X-Forwarded-Uri", "X-Forwarded-Method", "X-Original-Url", "X-Original-Uri", "X-Original-Method", "X-Original-Host", "X-Rewrite-Url"}},
	{why: "it tells the app which address asks",
		names: []string{"X-Real-Ip", "X-Client-Ip", "Client-Ip", "True-Client-Ip", "X-Cluster-Client-Ip", "Cf-Connecting-Ip", "Fastly-Client-Ip"}},
	{why: "it follows a request through the log and other services",
		names: []string{"Traceparent", "Tracestate", "Baggage", "X-Request-Id", "X-Correlation-Id"}},
	{why: "browsers and programs say with it what they are or what they ask for",
		names: []string{"User-Agent", "Cache-Control", "Pragma", "Prefer", "Dnt", "Save-Data", "Upgrade-Insecure-Requests", "Last-Event-Id",
			"Service-Worker", "Idempotency-Key", "Soapaction", "X-Http-Method", "X-Http-Method-Override", "X-Method-Override",
			"If", "Depth", "Destination", "Overwrite", "Lock-Token", "Timeout"},
		families: []string{"Accept-", "Content-", "If-", "Sec-", "Access-Control-"}},
	{why: "apps tell by it that a request is not forged",
		names:    []string{"X-Requested-With"},
		families: []string{"X-Csrf", "X-Xsrf"}},
}

// Interface guard.
var _ caddy.Validator = (*Gate)(nil)
