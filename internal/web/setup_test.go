package web_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// ways are what a page says while there is no administrator.
var ways = []string{"ADMIN_PASSWORD", "caddy gatehouse user add", "set-up link"}

// While there is no administrator every address says how to go on: pages in words, JSON as 503 with Retry-After.
func TestEveryPageSaysHowToSetTheSiteUp(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	as := map[string]int{ // what responds as ever
		"/healthz": 200, "/language": 405, "/assets/{name}": 404,
		"/link/{token}": 404, "/welcome": 400, // these say it, too
	}
	for _, rt := range append(w.addresses(), nothing("/nothing"), nothing("/account/nothing"), nothing("/api/v1"), nothing("/api/v1/nothing")) {
		for _, method := range []string{"GET", "HEAD", "PUT"} {
			name := method + " " + rt.Pattern
			a := w.browser().do(method, address(rt.Pattern))
			checkHeaders(t, name, a, true)
			want, other := as[rt.Pattern]
			switch {
			case method == "PUT" && (other || rt.Pattern == "/logout"):
				want = 405
			case !other:
				want = 503
			}
			if a.StatusCode != want {
				t.Errorf("%s: %d, want %d", name, a.StatusCode, want)
			}
			if want == 503 && a.Header.Get("Retry-After") == "" {
				t.Errorf("%s: no Retry-After", name)
			}
			switch {
			case method == "HEAD" || want == 405:
			case strings.HasPrefix(rt.Pattern, "/api/") || rt.API:
				a.wantProblem(t, 503, "setup-needed")
			case want == 503, rt.Pattern == "/welcome", rt.Pattern == "/link/{token}":
				a.want(t, want, ways...)
				if strings.Contains(a.body, `href="/_auth/login"`) {
					t.Errorf("%s leads to a sign-in that nobody can do", name)
				}
			}
		}
	}
	link, err := w.Accounts.IssueSetupLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.Clock.Advance(25 * time.Hour)
	w.browser().get("/link/"+link.Token).want(t, 410, append(slices.Clone(ways), "restart the server")...)
}

func nothing(path string) Address { return Address{Pattern: path} }

// Somebody who is signed in where there is no administrator can still sign out, and came in by a link.
func TestSignOutWithoutAnAdministrator(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	_, link, err := w.Accounts.Create(t.Context(), w.cli(), account.NewUser{Username: "ada", Role: store.RoleUser, Active: true})
	if err != nil {
		t.Fatal(err)
	}
	b := w.browser()
	b.get("/link/"+link.Token).wantRedirect(t, "/_auth/welcome")
	b.get("/welcome").want(t, 200)
	b.post("/welcome", "password", freshPass).wantRedirect(t, "/")
	kept := b.token()
	b.get("/logout").want(t, 503, ways...)
	b.post("/logout").wantRedirect(t, "/_auth/logged-out")
	b.get("/logged-out").want(t, 503, ways...)
	if _, err := w.Login.Sessions.Resolve(t.Context(), kept); !errors.Is(err, session.ErrNone) {
		t.Errorf("still signed in: %v", err)
	}
}
