package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
	"github.com/gatehouse-auth/gatehouse/store"
)

// events returns how many sign-ins through the provider were audited.
func (ow *oidcWorld) signInEvents(t testing.TB) int {
	t.Helper()
	page, err := ow.Store.Events(t.Context(), store.EventQuery{Action: "session.sign_in"})
	if err != nil {
		t.Fatal(err)
	}
	return len(page.Items)
}

// A refused pushed request is in status, log and audit, and none of them has a secret that the provider repeats.
func TestARefusedPushedRequestIsReportedWithoutSecrets(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	withPAR(w.idp, true)
	w.idp.SetFaults(func(l *provider.Faults) {
		l.Handle = func(e string, rw http.ResponseWriter, r *http.Request) bool {
			if e != "par" {
				return false
			}
			_, secret, _ := r.BasicAuth()
			rw.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(rw).Encode(map[string]any{"error": "invalid_request", "error_description": "sent " + secret})
			return true
		}
	})
	r := request("GET", "/oidc/test/start", "", "")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	w.browser().send(r).want(t, http.StatusServiceUnavailable, misconfigured)
	s := w.oidc.Registry.Status()[0]
	if !s.Misconfigured || !strings.Contains(s.LastError, "invalid_request") {
		t.Errorf("status: %+v", s)
	}
	lines := w.logs.FilterMessage("sign-in through a provider failed").All()
	if len(lines) != 1 || lines[0].Level != zap.ErrorLevel || w.signInEvents(t) != 1 {
		t.Errorf("log: %v; %d events", lines, w.signInEvents(t))
	}
	if text := fmt.Sprint(s, w.logs.All()); strings.Contains(text, w.cfg.Secret) {
		t.Error("the secret is reported")
	}
}

// Pushed requests, which carry our credentials, are bounded, whoever starts them.
func TestPushedRequestsAreBounded(t *testing.T) {
	t.Parallel()
	for who, required := range map[string]bool{"the provider": true, "the configuration": false} {
		w := newOIDCWorld(t, func(c *oidc.Config) { c.Push = !required })
		withPAR(w.idp, required)
		for i := range 1000 {
			c := login.Client{}
			if i%2 == 0 {
				c.IP = netip.AddrFrom4([4]byte{198, 51, 100, byte(i % 200)})
			}
			_, _ = w.oidc.Begin(t.Context(), c, "test", oidc.FlowOptions{
				Purpose: oidc.PurposeLogin, RedirectURI: origin + prefix + "/oidc/test/callback",
			})
		}
		if n := w.idp.Calls("par"); n != 600 {
			t.Errorf("%s wants them pushed: %d requests", who, n)
		}
	}
}

// What a browser says about a sign-in is neither the provider's fault nor the configuration's, and no flood of reports.
func TestWhatABrowserSaysIsNoFaultOfTheProvider(t *testing.T) {
	t.Parallel()
	w := newOIDCWorld(t)
	b := w.browser()
	for i := range 30 {
		u, err := url.Parse(b.start(""))
		if err != nil {
			t.Fatal(err)
		}
		code := []string{"x", "server_error", "temporarily_unavailable"}[i%3]
		b.get("/oidc/test/callback?"+url.Values{
			"state": {u.Query().Get("state")}, "error": {code},
			"error_description": {"DPoP, pushed authorization: " + strings.Repeat("pay at evil.example ", 50)},
		}.Encode()).want(t, http.StatusForbidden)
	}
	lines := w.logs.FilterMessage("sign-in through a provider failed").All()
	if len(lines) != 30 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, l := range lines {
		text, _ := l.ContextMap()["error"].(string)
		if l.Level != zap.InfoLevel || len(text) > 400 || strings.Contains(text, "not supported") {
			t.Fatalf("%s: %s", l.Level, text)
		}
	}
	if n := w.signInEvents(t); n > 10 {
		t.Errorf("%d events", n)
	}
	if s := w.oidc.Registry.Status()[0]; s.LastError != "" || s.Misconfigured {
		t.Errorf("status: %+v", s)
	}
}
