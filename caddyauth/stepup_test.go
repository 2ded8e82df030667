package caddyauth_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/store"
)

// proved is what a test says that a session has proved.
type proved struct {
	methods   string
	auth, mfa time.Duration // ago; never: not at all
}

const never = -1000 * time.Hour

// prove changes what the browser's session has proved, as if that had happened so long ago.
func (b *browser) prove(p proved) {
	b.t.Helper()
	ctx, now := context.Background(), time.Now().UTC().Truncate(time.Millisecond)
	var want store.Session
	err := b.s.openStore().Change(ctx, func(tx store.Tx) error {
		s, _, err := tx.SessionByToken(ctx, store.HashToken(b.cookie()))
		if err != nil {
			return err
		}
		old := s.ID
		s.ID, s.Methods, s.AuthAt, s.MFAAt = store.NewID(now), p.methods, now.Add(-p.auth), time.Time{}
		if p.auth == never {
			s.AuthAt = time.Time{}
		}
		if p.mfa != never {
			s.MFAAt = now.Add(-p.mfa)
		}
		want = s
		return tx.ReplaceSession(ctx, old, s)
	})
	if err != nil {
		b.t.Fatal(err)
	}
	same := func(got any, at time.Time) bool {
		text, _ := got.(string)
		t, err := time.Parse(time.RFC3339, text)
		return at.IsZero() && got == nil || err == nil && t.Equal(at)
	}
	eventually(b.t, "the session to be another one", func() bool {
		a := b.fetch("/_auth/api/v1/session")
		auth, _ := a.json(b.t)["auth"].(map[string]any)
		return a.StatusCode == 200 && same(auth["time"], want.AuthAt) && same(auth["mfa_time"], want.MFAAt) &&
			auth["acr"] == string(assurance.Methods(p.methods).Level())
	})
}

var (
	twoFactors = string(assurance.Of(assurance.Password, assurance.TOTP))
	passkey    = string(assurance.Of(assurance.Passkey, assurance.UserVerified))
)

const proofSite = `gatehouse {
		public /public/*
		optional /open/*
	}
	gatehouse /mfa/* {
		require mfa
	}
	gatehouse /passkey/* {
		require mfa passkey
	}
	gatehouse /fresh/* {
		require fresh 15m
	}
	gatehouse /freshmfa/* {
		require fresh 15m mfa
	}
	gatehouse /both/* {
		require group nobody
		require mfa
	}`

// What each session gets on each path, at the edge of each window.
func TestAGateLetsInWhatIsProvedAndFreshAndAsksOtherwise(t *testing.T) {
	s := startAdmin(t, proofSite, withGlobal("tokens"))
	b := s.browser()
	b.signIn(adminName, adminPass)
	const in, out = 15*time.Minute - 5*time.Second, 15*time.Minute + time.Second
	for _, c := range []struct {
		name                          string
		has                           proved
		mfa, passkey, fresh, freshMFA string // "" for let in, else the problem
	}{
		{"a password", proved{"pwd", 0, never}, "mfa", "mfa", "", "mfa"},
		{"before there were levels", proved{"", out, never}, "mfa", "mfa", "reauth", "mfa"},
		{"two factors now", proved{twoFactors, 0, 0}, "", "mfa", "", ""},
		{"two factors at the end of the window", proved{twoFactors, in, in}, "", "mfa", "", ""},
		{"two factors after it", proved{twoFactors, out, out}, "", "mfa", "reauth", "reauth"},
		{"a password again after two factors", proved{twoFactors, 0, out}, "", "mfa", "", "reauth"},
		{"a recovery code", proved{string(assurance.Of(assurance.Password, assurance.RecoveryCode)), 0, never}, "", "mfa", "", "reauth"},
		{"a passkey", proved{passkey, 0, 0}, "", "", "", ""},
		{"nobody knows when", proved{twoFactors, never, never}, "", "mfa", "reauth", "reauth"},
		{"another machine's clock is ahead", proved{twoFactors, -10 * time.Second, -10 * time.Second}, "", "mfa", "", ""},
		{"a time far in the future", proved{twoFactors, -24 * time.Hour, -24 * time.Hour}, "", "mfa", "reauth", "reauth"},
	} {
		b.prove(c.has)
		for path, problem := range map[string]string{"/mfa/x": c.mfa, "/passkey/x": c.passkey, "/fresh/x": c.fresh, "/freshmfa/x": c.freshMFA} {
			before := s.up.count()
			a := b.fetch(path)
			if problem == "" {
				if a.StatusCode != 200 || s.up.count() != before+1 {
					t.Errorf("%s: %s: %d %s", c.name, path, a.StatusCode, a.body)
				}
				continue
			}
			if typ, _ := a.json(t)["type"].(string); a.StatusCode != 403 || !strings.HasSuffix(typ, ":"+problem+"-required") && !strings.HasSuffix(typ, "/"+problem+"-required") {
				t.Errorf("%s: %s: %d %s, want %s-required", c.name, path, a.StatusCode, typ, problem)
			}
			if s.up.count() != before {
				t.Errorf("%s: %s reached the app", c.name, path)
			}
		}
		for _, path := range []string{"/x", "/public/x", "/open/x"} {
			if !b.reaches(path) {
				t.Errorf("%s: %s is closed", c.name, path)
			}
		}
		// Nobody is asked to prove more only to be refused.
		if a := b.page("/both/x"); a.StatusCode != 403 || !strings.Contains(a.body, "nobody") {
			t.Errorf("%s: a rule about people: %d %s", c.name, a.StatusCode, a.Header.Get("Location"))
		}
	}
}

// Each kind of client gets what it can use, never a 401, and nothing that is sent gets lost in a redirect.
func TestAStepUpIsAskedForInTheFormThatAClientCanUse(t *testing.T) {
	s := startAdmin(t, proofSite)
	b := s.browser()
	b.signIn(adminName, adminPass)
	b.prove(proved{"pwd", time.Hour, never})
	html := []string{"Accept", "text/html"}
	navigate := append([]string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, html...)
	for name, c := range map[string]struct {
		method, path string
		header       []string
		status       int
		kind         string // what is in Location, or "page", "frame" or "problem"
	}{
		"a page load":                         {"GET", "/mfa/a?b=c&d=%2F", navigate, 302, "/_auth/reauth?rt=%2Fmfa%2Fa%3Fb%3Dc%26d%3D%252F&need=mfa"},
		"a page load without Fetch Metadata":  {"GET", "/fresh/", html, 302, "/_auth/reauth?rt=%2Ffresh%2F&max_age=900"},
		"HEAD of a page":                      {"HEAD", "/freshmfa/x", html, 302, "/_auth/reauth?rt=%2Ffreshmfa%2Fx&need=mfa&max_age=900"},
		"hints of a stranger change nothing":  {"GET", "/fresh/?need=none&max_age=0", html, 302, "/_auth/reauth?rt=%2Ffresh%2F%3Fneed%3Dnone%26max_age%3D0&max_age=900"},
		"a form":                              {"POST", "/mfa/save", navigate, 403, "page"},
		"a form without Fetch Metadata":       {"POST", "/mfa/save", html, 403, "page"},
		"a frame":                             {"GET", "/mfa/x", append([]string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, html...), 403, "frame"},
		"fetch, though it accepts HTML":       {"GET", "/mfa/x", append([]string{"Sec-Fetch-Mode", "cors"}, html...), 403, "problem"},
		"an event stream":                     {"GET", "/mfa/x", []string{"Accept", "text/event-stream", "Sec-Fetch-Mode", "cors"}, 403, "problem"},
		"a WebSocket":                         {"GET", "/mfa/x", []string{"Connection", "Upgrade", "Upgrade", "websocket"}, 403, "problem"},
		"a program":                           {"GET", "/mfa/x", []string{"Accept", "*/*"}, 403, "problem"},
		"PUT of a page":                       {"PUT", "/mfa/x", html, 403, "problem"},
		"a library that asks for part of one": {"GET", "/mfa/x", append([]string{"Hx-Request", "true"}, html...), 403, "problem"},
	} {
		a := b.do(b.request(c.method, c.path, nil, c.header...))
		if a.StatusCode != c.status || a.Header.Get("Cache-Control") != "no-store" || !strings.Contains(a.Header.Get("Vary"), "Cookie") {
			t.Errorf("%s: %d %v\n%s", name, a.StatusCode, a.Header, a.body)
			continue
		}
		challenge := a.Header.Get("WWW-Authenticate")
		switch c.kind {
		case "page", "frame":
			if !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") || !strings.Contains(a.body, "second factor") || a.Header.Get("Location") != "" ||
				c.kind == "page" && !strings.Contains(a.body, "/_auth/reauth?") {
				t.Errorf("%s: %v\n%s", name, a.Header, a.body)
			}
		case "problem":
			p := a.json(t)
			if p["step_up_url"] != "/_auth/reauth?rt=" || p["status"] != 403.0 || p["request_id"] == "" || p["max_age"] != nil || len(p["acr_values"].([]any)) != 1 || p["acr_values"].([]any)[0] != "aal2" {
				t.Errorf("%s: %s", name, a.body)
			}
			if !strings.HasPrefix(challenge, `Bearer realm="`) || !strings.HasSuffix(challenge, `, error="insufficient_user_authentication", acr_values="aal2"`) {
				t.Errorf("%s: %s", name, challenge)
			}
		default:
			if l := a.Header.Get("Location"); l != c.kind {
				t.Errorf("%s: to %s, want %s", name, l, c.kind)
			}
		}
	}
	p, q := b.fetch("/fresh/x"), b.fetch("/freshmfa/x")
	if m := p.json(t); m["max_age"] != 900.0 || m["acr_values"] != nil || !strings.HasSuffix(p.Header.Get("WWW-Authenticate"), `error="insufficient_user_authentication", max_age="900"`) {
		t.Errorf("%s %s", p.Header.Get("WWW-Authenticate"), p.body)
	}
	if m := q.json(t); m["max_age"] != 900.0 || !strings.HasSuffix(q.Header.Get("WWW-Authenticate"), `acr_values="aal2", max_age="900"`) {
		t.Errorf("%s %s", q.Header.Get("WWW-Authenticate"), q.body)
	}
	if n := s.up.count(); n != 0 {
		t.Errorf("%d requests reached the app", n)
	}
}

// Tokens: what was proved when one was made is all that it is worth, and it is never fresh.
func TestATokenIsNoWayAroundASecondFactor(t *testing.T) {
	s := startAdmin(t, proofSite, withGlobal("tokens"))
	s.addPerson("ada")
	at := func(level string) string { return s.addToken("ada", func(t *store.Token) { t.Level = level }) }
	one, two, strong, old, wrong := at("aal1"), at("aal2"), at("phr"), at(""), at("AAL2")
	for name, c := range map[string]struct {
		token string
		open  string
	}{
		"made with one factor": {one, "/x"}, "made with two": {two, "/x /mfa/x"}, "made with a passkey": {strong, "/x /mfa/x"},
		"of before": {old, "/x"}, "of an odd level": {wrong, "/x"},
	} {
		b := s.browser()
		for _, path := range []string{"/x", "/mfa/x", "/passkey/x", "/fresh/x", "/freshmfa/x"} {
			a := b.do(b.request("GET", path, nil, "Authorization", "Bearer "+c.token, "Accept", "text/html"))
			want := http.StatusForbidden
			if holdsWord(c.open, path) {
				want = http.StatusOK
			}
			if a.StatusCode != want {
				t.Errorf("%s: %s: %d %s", name, path, a.StatusCode, a.body)
			}
			if want == http.StatusForbidden && !strings.Contains(a.Header.Get("WWW-Authenticate"), "insufficient_user_authentication") {
				t.Errorf("%s: %s: %s", name, path, a.Header.Get("WWW-Authenticate"))
			}
		}
	}
}

func holdsWord(list, word string) bool {
	for _, w := range strings.Fields(list) {
		if w == word {
			return true
		}
	}
	return false
}

// What the app and scripts are told of how somebody was authenticated, and that no client can say so itself.
func TestAppsAndScriptsSeeWhatWasProved(t *testing.T) {
	s := startAdmin(t, `gatehouse {
		header X-Methods amr
		header X-Level acr
		header X-Auth-Time auth_time
		header Remote-Mfa-Time mfa_time
	}
	respond /who "{http.auth.user.amr}|{http.auth.user.acr}|{http.auth.user.auth_time}"`)
	b := s.browser()
	if a := b.fetch("/_auth/api/v1/session"); a.StatusCode != 401 {
		t.Errorf("%d", a.StatusCode)
	}
	b.signIn(adminName, adminPass)
	shown := func() (methods, level, auth, mfa string) {
		b.fetch("/x", "X_Level", "phr", "x-auth-time", "1", "Remote-Acr", "phr", "remote_amr", "mfa", "REMOTE.AUTH.TIME", "1")
		h := s.up.last().Header
		for name := range h {
			if folds(name, "Remote-Acr") || folds(name, "Remote-Amr") || folds(name, "Remote-Auth-Time") || name != "X-Level" && folds(name, "X-Level") {
				t.Errorf("the app is told %s: %q", name, h[name])
			}
		}
		return h.Get("X-Methods"), h.Get("X-Level"), h.Get("X-Auth-Time"), h.Get("Remote-Mfa-Time")
	}
	b.prove(proved{"pwd", time.Minute, never})
	if m, l, at, mfa := shown(); m != "pwd" || l != "aal1" || at == "" || mfa != "" {
		t.Errorf("%q %q %q %q", m, l, at, mfa)
	}
	b.prove(proved{twoFactors, time.Minute, 0})
	if m, l, at, mfa := shown(); m != "pwd otp mfa" || l != "aal2" || at == "" || mfa <= at {
		t.Errorf("%q %q %q %q", m, l, at, mfa)
	}
	if a := b.fetch("/who"); !strings.HasPrefix(a.body, "pwd otp mfa|aal2|1") {
		t.Errorf("%s", a.body)
	}
	auth := b.fetch("/_auth/api/v1/session").json(t)["auth"].(map[string]any)
	if list, _ := auth["amr"].([]any); len(list) != 3 || list[2] != "mfa" || auth["acr"] != "aal2" || auth["mfa_time"] == nil || auth["time"] == nil {
		t.Errorf("%v", auth)
	}
	b.prove(proved{"ext", never, never})
	auth = b.fetch("/_auth/api/v1/session").json(t)["auth"].(map[string]any)
	if mfa, there := auth["mfa_time"]; auth["time"] != nil || mfa != nil || !there || auth["acr"] != "aal1" {
		t.Errorf("%v", auth)
	}
}
