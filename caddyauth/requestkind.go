package caddyauth

import (
	"net/http"
	"slices"

	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// requestKind is what a client can do with a response that is not the app's.
type requestKind int

const (
	kindAPI    requestKind = iota // a program: problem+json, never a redirect
	kindPage                      // a browser loading a page: it can be redirected to the sign-in page
	kindForm                      // a browser loading a page by another method: a redirect would lose what was sent
	kindFrame                     // a browser loading a page into a frame, where nobody can sign in
	kindWorker                    // a browser fetching the script of a service worker
)

// page reports whether the client shows a page.
func (k requestKind) page() bool { return k == kindPage || k == kindForm || k == kindFrame }

// shape returns in which form a response is that a client of a kind can use.
func shape(k requestKind) web.Shape {
	switch k {
	case kindPage, kindForm:
		return web.AsPage
	case kindFrame:
		return web.AsFrame
	case kindAPI, kindWorker:
	}
	return web.AsJSON
}

// kind tells a browser's page load from everything else: by Fetch Metadata where there is any, else by what the client
// accepts. What is taken for a page load by mistake gets the sign-in page for the file, or the data, that it asked for;
// so in doubt it is a program.
func (req *request) kind(r *http.Request, api policy.Paths) requestKind {
	h := r.Header
	switch {
	case api.Covers(req.target), req.first.credential.Ours():
		return kindAPI
	case r.Method == http.MethodConnect, len(h["Upgrade"]) > 0, req.first.upgrade != "":
		return kindAPI // a WebSocket cannot follow a redirect
	case r.Method == http.MethodGet && is(h, "Service-Worker", "script"):
		return kindWorker
	case slices.ContainsFunc(scriptHeaders, func(name string) bool { return len(h[name]) > 0 }):
		return kindAPI
	case isFetched(h):
		return fetchedKind(r)
	case len(h["Authorization"]) > 0 && (req.cookie.Secure || !is(h, "Upgrade-Insecure-Requests", "1")):
		return kindAPI // over HTTPS a browser would have said that it loads a page
	case !prefersHTML(h["Accept"]):
		return kindAPI
	case r.Method == http.MethodPost: // what forms send
		return kindForm
	case isSafe(r):
		return kindPage
	}
	return kindAPI
}

func isSafe(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// is reports whether a header is there once, with a value.
func is(h http.Header, name, value string) bool { return len(h[name]) == 1 && h[name][0] == value }

// scriptHeaders are sent by libraries that fetch parts of a page: jQuery and Inertia, htmx, Turbo, Unpoly, PJAX,
// Livewire, Alpine AJAX, React Server Components. Over plain HTTP nothing else tells them from a page load, and each
// would put the sign-in page into the page of the app.
var scriptHeaders = []string{
	"X-Requested-With", "Hx-Request", "Turbo-Frame", "X-Turbo-Request-Id", "X-Up-Version", "X-Up-Target", "X-Pjax",
	"X-Inertia", "X-Livewire", "X-Alpine-Request", "Rsc",
}

// isFetched reports whether a browser says how it will use the response.
func isFetched(h http.Header) bool {
	return len(h["Sec-Fetch-Mode"]) > 0 || len(h["Sec-Fetch-Dest"]) > 0 || len(h["Sec-Fetch-Site"]) > 0
}

// fetchedKind returns the kind of a request with Fetch Metadata. A download (`<a download>`) is a navigation, too, with
// an empty destination: what it gets is saved as a file.
func fetchedKind(r *http.Request) requestKind {
	if !is(r.Header, "Sec-Fetch-Mode", "navigate") {
		return kindAPI
	}
	dest := r.Header["Sec-Fetch-Dest"]
	switch {
	case len(dest) > 1:
		return kindAPI
	case len(dest) == 0 || dest[0] == "document":
		if !isSafe(r) {
			return kindForm
		}
		return kindPage
	case slices.Contains(frames, dest[0]):
		return kindFrame
	}
	return kindAPI
}

// frames are the destinations of navigations within a page.
var frames = []string{"iframe", "frame", "embed", "object"}
