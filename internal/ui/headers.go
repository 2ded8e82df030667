package ui

import (
	"net/http"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
)

// pageVary is what our own pages depend on; decisionVary what the gate's responses on the app's addresses depend on.
const (
	pageVary     = "Cookie, Accept, Accept-Language, Sec-Fetch-Mode"
	decisionVary = "Cookie, Accept, Sec-Fetch-Mode, Authorization"
)

const permissions = "publickey-credentials-get=(self), publickey-credentials-create=(self), clipboard-write=(self), " +
	"camera=(), microphone=(), geolocation=(), payment=(), usb=()"

// Harden sets the headers that every response of ours carries, whatever its body. Pages replace the content policy by
// their own.
//
// Referrer-Policy is same-origin and not no-referrer: with the latter browsers send "Origin: null" with ordinary
// forms, and over plain HTTP, where there is no Sec-Fetch-Site, [CrossOrigin] would refuse them.
func Harden(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Permissions-Policy", permissions)
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Robots-Tag", "noindex, nofollow")
	if reqctx.From(r).Secure {
		// Browsers ignore it over plain HTTP, and say so in the console.
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
	}
	setVary(h, pageVary)
}

// HardenDecision is Harden for the gate's responses on the app's addresses that have words in them. The language is
// on a line of its own: the first is the same for all of the gate's responses, those without words included.
func HardenDecision(w http.ResponseWriter, r *http.Request) {
	Harden(w, r)
	setVary(w.Header(), decisionVary)
	w.Header().Add("Vary", "Accept-Language")
	if w.Header().Get("Access-Control-Allow-Origin") != "" {
		w.Header().Add("Vary", "Origin")
	}
}

// setVary replaces what was set before; other handlers' fields, which Caddy adds later, are kept apart.
func setVary(h http.Header, v string) { h["Vary"] = []string{v} }

const noSource = "'none'"

// Sources returns origins as a list in a content policy, 'none' for no origin. It is the only way for a value that is
// not ours into a policy: what is more than a scheme and a host (a ';', a ',', a '*', a keyword) would be a policy of
// its own, and is left out.
func Sources(origins []string) string {
	var list []string
	for _, o := range origins {
		if plain, ok := reqctx.ParseOrigin(o); ok {
			list = append(list, plain)
		}
	}
	if len(list) == 0 {
		return noSource
	}
	return strings.Join(list, " ")
}

// pagePolicy is the content policy of a page. targets are origins that a form of the page may end up at: Chromium and
// WebKit apply form-action to every redirect that follows a form (w3c/webappsec-csp issue 8). If they, or this origin,
// lead on, any origin may follow: over HTTPS, unless one of them has less.
func pagePolicy(nonce string, targets []string, goesOn, secure bool) string {
	var b strings.Builder
	b.Grow(384)
	b.WriteString("default-src 'none'; script-src 'nonce-")
	b.WriteString(nonce)
	b.WriteString("'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'")
	if more := Sources(targets); more != noSource {
		b.WriteByte(' ')
		b.WriteString(more)
		secure = secure && !strings.Contains(" "+more, " http:")
	}
	switch {
	case goesOn && secure:
		b.WriteString(" https:")
	case goesOn:
		b.WriteString(" http:") // which includes https (CSP3, section 6.7.2.8)
	}
	b.WriteString("; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'")
	return b.String()
}

// framePolicy is the content policy of a page that the site itself may show in a frame: without forms and scripts.
const framePolicy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'none'; base-uri 'none'; " +
	"frame-ancestors 'self'"

// Redirect responds 303 (or another 3xx) to a location that the caller has built or checked.
func Redirect(w http.ResponseWriter, r *http.Request, status int, location string) {
	Harden(w, r)
	w.Header().Set("Location", location)
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(status)
}

// acceptsGzip reports whether the client takes gzip (RFC 9110, section 12.5.3). Nothing but the plain name counts: who
// is not understood gets what everybody can read.
func acceptsGzip(h http.Header) bool {
	for _, line := range h["Accept-Encoding"] {
		for part := range strings.SplitSeq(line, ",") {
			coding, params, _ := strings.Cut(part, ";")
			if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
				continue
			}
			weight := strings.ToLower(strings.ReplaceAll(params, " ", ""))
			return weight == "" || strings.Trim(strings.TrimPrefix(weight, "q="), "0.") != ""
		}
	}
	return false
}
