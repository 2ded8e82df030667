package caddyauth_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/caddyauth"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

// askNeeds is a handler that responds with what the gates ask of a page, as the page of a step-up would be told.
type askNeeds struct{ app *caddyauth.App }

func init() {
	caddy.RegisterModule(&askNeeds{})
	httpcaddyfile.RegisterHandlerDirective("ask_needs", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		h.Next()
		return &askNeeds{}, nil
	})
	httpcaddyfile.RegisterDirectiveOrder("ask_needs", httpcaddyfile.Before, "basic_auth")
}

func (*askNeeds) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.ask_needs", New: func() caddy.Module { return new(askNeeds) }}
}

func (h *askNeeds) Provision(ctx caddy.Context) error {
	app, err := ctx.App("gatehouse")
	h.app, _ = app.(*caddyauth.App)
	return err
}

func (h *askNeeds) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	page, err := url.Parse(r.Header.Get("X-Page"))
	if err != nil {
		return err
	}
	u := store.User{Username: "ada", Role: store.RoleUser, Active: true}
	n := caddyauth.Needs(h.app, r, page, &session.Live{User: u, Held: r.Header.Get("X-Held") != ""})
	_, err = fmt.Fprintf(w, "%s %v %v", n.Level, n.Within, n.MFAWithin)
	return err
}

// Where a step-up leads is judged by its own rules, as the gate does, whatever the address says of it.
func TestTheNeedOfAPageIsFoundByTheRulesOfThatPage(t *testing.T) {
	s := startAdmin(t, `ask_needs /ask
	@posts method POST
	gatehouse {
		public /public/* /ask
	}
	gatehouse /mfa/* {
		require mfa
		public /mfa/public
		optional /mfa/open
	}
	gatehouse /mfa/passkey/* {
		require mfa passkey
	}
	gatehouse @posts {
		require mfa
	}
	gatehouse /closed/* {
		require group nobody
		require mfa
	}
	gatehouse /admin/* {
		require role admin
	}
	handle /inside/* {
		gatehouse {
			require fresh 15m
		}
		reverse_proxy UPSTREAM
	}
	handle /elsewhere/* {
		gatehouse {
			require fresh 1h mfa
		}
		reverse_proxy UPSTREAM
	}
	handle_path /stripped/* {
		gatehouse {
			require fresh 2m
		}
		reverse_proxy UPSTREAM
	}
	@rest path /rest/* /inside/*
	handle @rest {
		gatehouse {
			require mfa passkey
		}
		reverse_proxy UPSTREAM
	}`)
	b := s.browser()
	for page, want := range map[string]string{
		"/": " 0s 0s", "/x?need=mfa&max_age=1": " 0s 0s", "/public/x": " 0s 0s", "/mfa/x": "aal2 0s 0s", "/mfa/x?y=/public/": "aal2 0s 0s",
		"/mfa/public": " 0s 0s", "/mfa/open": " 0s 0s", "/mfa/passkey/x": "phr 0s 0s", "/MFA/x": "aal2 0s 0s", "/m%66a/x": "aal2 0s 0s",
		"http://" + s.addr + "/mfa/x#f": "aal2 0s 0s", "/closed/x": " 0s 0s", "/admin/x": " 0s 0s", "held /admin/x": "aal2 0s 0s", "held /x": " 0s 0s",
		"held /closed/x": " 0s 0s", "/inside/x": " 15m0s 0s", "/elsewhere/x": "aal2 0s 1h0m0s", "/stripped/x": " 2m0s 0s",
		"/rest/x": "phr 0s 0s",
	} {
		header := []string{"X-Page", page}
		if len(page) > 5 && page[:5] == "held " {
			header = []string{"X-Page", page[5:], "X-Held", "1"}
		}
		if a := b.fetch("/ask", header...); a.StatusCode != 200 || a.body != want {
			t.Errorf("%s: %d %q, want %q", page, a.StatusCode, a.body, want)
		}
	}
	if n := s.up.count(); n != 0 {
		t.Errorf("to be asked about, %d pages were loaded", n)
	}
}
