package caddyauth

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/internal/credential"
)

// HeaderConfig sends one identity value upstream.
type HeaderConfig struct {
	// Name of the request header.
	Name string `json:"name"`
	// Value: user, id, email, name, groups, role, provider, or, of how the session was proved, amr, acr, auth_time or
	// mfa_time.
	Value string `json:"value"`
	// Encoded sends the value percent-encoded (RFC 3986): for apps that take nothing but ASCII. Of the groups each is
	// encoded by itself, so that those with a comma are sent, too.
	Encoded bool `json:"encoded,omitempty"`
}

// headerValues are the values of a header in words.
var headerValues = strings.Join(valueNames[:valueSession], ", ")

// parseHeader reads `header <Name> <value> [encoded]`.
func (g *Gate) parseHeader(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) < 2 || len(args) > 3 {
		return d.Err("header takes a name and one of " + headerValues + ", and encoded for a percent-encoded value")
	}
	if len(args) == 3 && args[2] != "encoded" {
		return d.Errf("header %s: %q; after the value only encoded may stand", args[0], args[2])
	}
	h := HeaderConfig{Name: args[0], Value: args[1], Encoded: len(args) == 3}
	g.Headers = append(g.Headers, h)
	if _, err := newHeaders(g.Headers); err != nil {
		return d.WrapErr(err)
	}
	for _, check := range []func() error{g.checkHeaders, g.checkAssertion} {
		if err := check(); err != nil {
			return d.WrapErr(err)
		}
	}
	return nil
}

// levelHeaders are names that apps may read how a session was proved under, though only configured ones are sent. Where
// one gate sends them and another does not, a client must not.
var levelHeaders = []string{"Remote-Amr", "Remote-Acr", "Remote-Auth-Time", "Remote-Mfa-Time"}

// provisionHeaders makes headers of the configured ones, and has their names taken from every client's request.
func (g *Gate) provisionHeaders() (err error) {
	if g.headers, err = newHeaders(g.Headers); err != nil {
		return err
	}
	for _, h := range slices.Concat(g.headers, defaultHeaders) {
		g.app.guarded.add(h.name)
	}
	for _, name := range levelHeaders {
		g.app.guarded.add(name)
	}
	for _, name := range []string{defaultAssertionHeader, credential.Header} {
		g.app.guarded.add(name)
		g.app.secret.add(name)
	}
	return nil
}

// identityHeader sends one value under one name.
type identityHeader struct {
	name    string // canonical
	value   int
	encoded bool
}

// defaultHeaders go to the upstream when the configuration names none.
var defaultHeaders = []identityHeader{
	{name: "Remote-User", value: valueUser},
	{name: "Remote-Id", value: valueID},
	{name: "Remote-Email", value: valueEmail},
	{name: "Remote-Name", value: valueName},
	{name: "Remote-Groups", value: valueGroups},
	{name: "Remote-Role", value: valueRole},
}

// newHeaders checks the `header` lines of a gate. Headers that carry meaning of their own are refused.
func newHeaders(configured []HeaderConfig) ([]identityHeader, error) {
	if len(configured) == 0 {
		return defaultHeaders, nil
	}
	var out []identityHeader
	seen := make(map[string]bool)
	for _, h := range configured {
		name := http.CanonicalHeaderKey(h.Name)
		if !validName(h.Name) {
			return nil, fmt.Errorf("header %q: use letters, digits and '-' only", h.Name)
		}
		if reserved[name] {
			return nil, fmt.Errorf("header %s: it means something to HTTP itself; choose a name such as X-Auth-User", name)
		}
		if seen[name] {
			return nil, fmt.Errorf("header %s: given twice", name)
		}
		seen[name] = true
		value := -1
		for i, n := range valueNames[:valueSession] {
			if n == h.Value {
				value = i
			}
		}
		if value < 0 {
			return nil, fmt.Errorf("header %s: unknown value %q; use one of %s", name, h.Value, headerValues)
		}
		out = append(out, identityHeader{name, value, h.Encoded})
	}
	return out, nil
}

func validName(s string) bool {
	if s == "" || len(s) > maxNameLen || strings.Trim(s, "-") != s {
		return false
	}
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' {
			return false
		}
	}
	return true
}

// reserved are request headers that HTTP, the proxy or the gate itself give a meaning to.
var reserved = map[string]bool{
	"Host": true, "Cookie": true, "Connection": true, "Upgrade": true, "Te": true, "Trailer": true,
	"Transfer-Encoding": true, "Content-Length": true, "Content-Type": true, "Content-Encoding": true, "Accept": true,
	"Accept-Encoding": true, "Expect": true, "Range": true, "Origin": true, "Referer": true, "Keep-Alive": true,
	"Proxy-Connection": true, "Proxy": true, "Forwarded": true, "X-Forwarded-For": true, "X-Forwarded-Proto": true,
	"X-Forwarded-Host": true,
}

// checkHeaders refuses names of headers that have a use of their own. What goes upstream under a configured name is
// taken from every client's request on every site, so such a name would break more than this one gate.
func (g *Gate) checkHeaders() error {
	for _, h := range g.Headers {
		name := http.CanonicalHeaderKey(h.Name)
		if why := takenBy(name); why != "" {
			return fmt.Errorf("header %s: %s; choose a name such as X-Auth-User", name, why)
		}
	}
	return nil
}

// takenBy returns why no identity may go under a canonical name, "" if it may.
func takenBy(name string) string {
	for _, t := range takenNames {
		inFamily := func(family string) bool { return strings.HasPrefix(name, family) }
		if slices.Contains(t.names, name) || slices.ContainsFunc(t.families, inFamily) {
			return t.why
		}
	}
	return ""
}

// takenNames are names that no identity may go under, beside the reserved ones. Names that other gates use for
// identities, such as X-Forwarded-User, are free.
var takenNames = []struct {
	names, families []string
	why             string
}{
	{
		why:   "programs send the app their own credentials in it",
		names: []string{"Authorization", "Proxy-Authorization", "Dpop", "X-Api-Key"},
	},
	{
		why:   "Gatehouse sends or takes something else in it",
		names: []string{defaultAssertionHeader, "Gatehouse-Token"},
	},
	{
		why: "it says how the message travels, and proxies write it",
		names: []string{
			"Via", "Date", "Max-Forwards", "Early-Data", "Priority", "Alt-Used", "Http2-Settings", "Client-Cert",
			"Client-Cert-Chain", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server", "X-Forwarded-By",
			"X-Forwarded-Ssl", "X-Forwarded-Scheme", "X-Forwarded-Path", "X-Forwarded-Uri", "X-Forwarded-Method",
			"X-Original-Url", "X-Original-Uri", "X-Original-Method", "X-Original-Host", "X-Rewrite-Url",
		},
	},
	{
		why: "it tells the app which address asks",
		names: []string{
			"X-Real-Ip", "X-Client-Ip", "Client-Ip", "True-Client-Ip", "X-Cluster-Client-Ip", "Cf-Connecting-Ip",
			"Fastly-Client-Ip",
		},
	},
	{
		why:   "it follows a request through the log and other services",
		names: []string{"Traceparent", "Tracestate", "Baggage", "X-Request-Id", "X-Correlation-Id"},
	},
	{
		why: "browsers and programs say with it what they are or what they ask for",
		names: []string{
			"User-Agent", "Cache-Control", "Pragma", "Prefer", "Dnt", "Save-Data", "Upgrade-Insecure-Requests",
			"Last-Event-Id", "Service-Worker", "Idempotency-Key", "Soapaction", "X-Http-Method", "X-Http-Method-Override",
			"X-Method-Override", "If", "Depth", "Destination", "Overwrite", "Lock-Token", "Timeout",
		},
		families: []string{"Accept-", "Content-", "If-", "Sec-", "Access-Control-"},
	},
	{
		why:      "apps tell by it that a request is not forged",
		names:    []string{"X-Requested-With"},
		families: []string{"X-Csrf", "X-Xsrf"},
	},
}
