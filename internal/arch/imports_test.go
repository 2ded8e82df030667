package arch

import (
	"slices"
	"strings"
	"testing"
)

// order lists the packages from the outside in: each may import those after it, never those before it. Caddy meets the
// gate at the top, the domain types are at the bottom, and knowledge flows down only.
var order = []string{
	"cmd/caddy",            // a Caddy with the plugin
	"",                     // registers everything
	"cmd",                  // caddy gatehouse …
	"caddyauth",            // the app and the handler
	"internal/site",        // collects the routes of all pages and of the API
	"admin",                // admin pages
	"internal/api",         // the JSON API
	"internal/runtime",     // what outlives a configuration
	"internal/web/account", // pages about one's own account
	"internal/web/device",  // a program's request for a token, approved in a browser
	"internal/web/signin",  // ways in and out
	"internal/web",         // routes, requests, who may come
	"internal/seed",        // the administrator from the environment
	"internal/storecopy",   // accounts from elsewhere
	"internal/problem",     // errors as HTTP says them
	"internal/account",     // the one place where accounts change
	"internal/ui",          // rendering, headers, assets
	"internal/device",      // codes and limits of the device sign-in
	"internal/credential",  // tokens of programs
	"internal/login",       // the one place where a session begins
	"internal/recovery",    // recovery codes
	"internal/totp",        // codes of authenticator apps
	"internal/passkey",     // ceremonies of WebAuthn
	"internal/machine",     // who programs act as that show a JWT of their platform
	"internal/oidc",        // what providers and other issuers say
	"internal/session",     // cookie, cache, streams
	"internal/assertion",   // signs who a session belongs to
	"internal/seal",        // encryption of what the store keeps
	"internal/returnto",    // where a browser may be sent
	"internal/policy",      // the decision
	"internal/reqctx",      // what is known about a request
	"internal/i18n",        // sentences for people, in their language
	"internal/password",
	"store/sqlstore",
	"internal/assurance", // how surely a session is its person's
	"store",
	"internal/identifier", // what names, addresses and groups may be
	"internal/owner",      // who decides about a file
	"internal/duration",   // lengths of time as text
}

// onlyTests tells packages that nothing but tests may import.
func onlyTests(name string) bool { return tests(name) || name == "internal/arch" }

// tests tells whether a folder is there for tests and measurements only.
func tests(dir string) bool {
	return dir == "store/storetest" || dir == "internal/crash" || dir == "bench" || strings.HasPrefix(dir+"/", "internal/testenv/") || strings.HasPrefix(dir+"/", "e2e/")
}

// meetCaddy are the packages that know Caddy; everything else is plain Go that any server could use.
var meetCaddy = []string{"cmd/caddy", "", "cmd", "caddyauth"}

func TestImportsGoInward(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		if onlyTests(p.name()) {
			continue
		}
		at := slices.Index(order, p.name())
		if at < 0 {
			t.Errorf("package %q has no place in the order of imports: say in imports_test.go where it belongs", p.name())
			continue
		}
		for _, imported := range p.Imports {
			if !own(imported) {
				continue
			}
			to := listed{ImportPath: imported}.name()
			if onlyTests(to) {
				t.Errorf("%q imports %q, which is for tests", p.name(), to)
			} else if slices.Index(order, to) <= at {
				t.Errorf("%q imports %q, which comes before it: imports go inward only", p.name(), to)
			}
		}
	}
}

// A package that reaches Caddy by way of another one knows it, too: hence all that it is built from.
func TestOnlyTheEdgeKnowsCaddy(t *testing.T) {
	t.Parallel()
	edge := 0
	for _, p := range packages(t) {
		if p.name() == "bench" {
			continue
		}
		caddy := slices.IndexFunc(p.Deps, func(d string) bool { return strings.HasPrefix(d, "github.com/caddyserver/") })
		switch allowed := slices.Contains(meetCaddy, p.name()); {
		case caddy >= 0 && !allowed:
			t.Errorf("%q reaches %s; only the root, caddyauth and cmd know Caddy", p.name(), p.Deps[caddy])
		case caddy >= 0:
			edge++
		}
	}
	if edge == 0 {
		t.Error("no package reaches Caddy: this test sees nothing")
	}
}

func own(path string) bool { return path == module || strings.HasPrefix(path, module+"/") }
