package caddyauth

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/policy"
)

// requestKind is what a client can do with a response that is not the app's.
type requestKind int

const (
	kindAPI  requestKind = iota // a program: problem+json, never a redirect
	kindPage                    // a browser loading a page: it can be redirected to the sign-in page
	kindForm                    // a browser loading a page by another method: a redirect would lose what was sent
)

// kind tells a browser's page load from everything else: by Fetch Metadata where there is any, else by what the
// client accepts.
func (req *request) kind(r *http.Request, api policy.Paths) requestKind {
	if api.Covers(req.target) {
		return kindAPI
	}
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead
	mode, fetched := r.Header["Sec-Fetch-Mode"]
	if !fetched {
		fetched = len(r.Header["Sec-Fetch-Dest"]) > 0 || len(r.Header["Sec-Fetch-Site"]) > 0
	}
	switch {
	case len(r.Header["Upgrade"]) > 0, r.Method == http.MethodConnect:
		return kindAPI // a WebSocket cannot follow a redirect
	case fetched && (len(mode) != 1 || mode[0] != "navigate"):
		return kindAPI
	case fetched && !safe:
		return kindForm
	case fetched, safe && acceptsHTML(r.Header["Accept"]):
		return kindPage
	default:
		return kindAPI
	}
}

func acceptsHTML(accept []string) bool { return slices.ContainsFunc(accept, namesHTML) }

// namesHTML reports whether one Accept header names HTML, and does not rule it out (RFC 9110, section 12.5.1).
func namesHTML(accept string) bool {
	before, after, found := strings.Cut(accept, "text/html")
	if !found {
		if before, after, found = strings.Cut(strings.ToLower(accept), "text/html"); !found {
			return false
		}
	}
	if before != "" && !strings.HasSuffix(strings.TrimRight(before, " \t"), ",") {
		return false // part of another type's parameter
	}
	after, _, _ = strings.Cut(after, ",")
	if after == "" { // the common case
		return true
	}
	for p := range strings.SplitSeq(after, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(name, "q") {
			return strings.Trim(value, "0.") != ""
		}
	}
	return true
}
