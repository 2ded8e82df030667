package caddyauth_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// loadJSON loads the server's Caddyfile as JSON in which something was changed by hand.
func (s *caddyServer) loadJSON(change func(server map[string]any)) error {
	s.t.Helper()
	text, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(s.caddyfile()), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		s.t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(text, &config); err != nil {
		s.t.Fatal(err)
	}
	servers := config["apps"].(map[string]any)["http"].(map[string]any)["servers"].(map[string]any)
	change(servers["srv0"].(map[string]any))
	if text, err = json.Marshal(config); err != nil {
		s.t.Fatal(err)
	}
	return loadJSON(text)
}

// fromJSON reads a piece of configuration.
func (s *caddyServer) fromJSON(text string) (v any) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(strings.ReplaceAll(text, "UPSTREAM", s.up.Listener.Addr().String())), &v); err != nil {
		s.t.Fatalf("%v in %s", err, text)
	}
	return v
}

// What error routes stream to a signed-in person ends with the session, too.
func TestStreamsOfErrorRoutesEndWithTheirSession(t *testing.T) {
	app := streamUpstream(t)
	for name, site := range map[string]string{
		"a file that is not there": "root * " + t.TempDir() + "\nroute {\n\tgatehouse\n\tfile_server\n}\nhandle_errors {\n\treverse_proxy " + app.Listener.Addr().String() + "\n}",
		"an app that is down":      "gatehouse\nreverse_proxy /stream 127.0.0.1:1\nhandle_errors 502 {\n\thandle {\n\t\treverse_proxy " + app.Listener.Addr().String() + "\n\t}\n}",
		"several gates":            "gatehouse\ngatehouse /stream* {\n\theader X-Who user\n}\nerror /stream 500\nhandle_errors {\n\treverse_proxy " + app.Listener.Addr().String() + "\n}",
		"a gate there, too":        "gatehouse\nerror /stream 500\nhandle_errors {\n\tgatehouse\n\treverse_proxy " + app.Listener.Addr().String() + "\n}",
		"a gate there alone":       "error /stream 500\nhandle_errors {\n\tgatehouse\n\treverse_proxy " + app.Listener.Addr().String() + "\n}\nhandle /_auth/* {\n\tgatehouse\n}",
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			s := startAdmin(t, site)
			b := s.browser()
			b.signIn(adminName, adminPass)
			for _, websocket := range []bool{false, true} {
				b.signIn(adminName, adminPass)
				ended := openStream(t, s, b.cookie(), websocket)
				select {
				case <-ended:
					t.Fatal("the stream ends by itself")
				case <-time.After(50 * time.Millisecond): // waits: to see that nothing ends it but the sign-out
				}
				out := time.Now()
				b.post("/_auth/logout")
				select {
				case <-ended:
				case <-time.After(20 * time.Second):
					t.Fatal("the stream goes on without its session")
				}
				if d := time.Since(out); d > 5*time.Second { // a second is promised; a loaded machine gets more
					t.Errorf("the stream ended after %v", d)
				}
			}
		})
	}
}

// Error routes have the identity that the gate passed on, and none where it denied or never ran.
func TestErrorRoutesGetTheIdentity(t *testing.T) {
	s := startAdmin(t, `gatehouse {
	public /public
	optional /open
	header X-Who user
	assertion
}
error 500
handle_errors {
	respond /told* "[{http.auth.user.id}|{http.auth.user.role}|{http.auth.user.email}]"
	respond /public "[{http.auth.user.id}]"
	reverse_proxy UPSTREAM
}`)
	b := s.browser()
	if a := b.fetch("/public"); a.body != "[]" {
		t.Errorf("on a public path it is %s", a.body)
	}
	b.signIn(adminName, adminPass)
	if a := b.fetch("/told"); a.body != "[admin|admin|]" {
		t.Errorf("somebody who is signed in is %s", a.body)
	}
	if a := b.fetch("/public"); a.body != "[]" {
		t.Errorf("on a public path somebody who is signed in is %s", a.body)
	}
	b.fetch("/x", "X-Who", "forged", "Remote-User", "forged")
	if got := s.up.last().Header; got.Get("X-Who") != "admin" || got.Get(signedHeader) == "" || got.Get("Remote-User") != "" || strings.Contains(got.Get("Cookie"), "gatehouse") {
		t.Errorf("the app is told %v", got)
	}
	a := s.raw(strings.Repeat("X", 40) + " /told HTTP/1.1\nHost: " + s.addr + "\nCookie: gatehouse=" + b.cookie() + "\nConnection: close\n\n")
	if !strings.Contains(a, "[||]") {
		t.Errorf("where the gate never ran somebody is %s", a)
	}
}

// What runs after the gate has returned, but is not what it passed on to, gets no identity.
func TestTheIdentityIsRemovedAfterTheGateReturns(t *testing.T) {
	s := startAdmin(t, `route {
	intercept {
		@down status 418
		handle_response @down {
			reverse_proxy UPSTREAM
		}
	}
	gatehouse {
		assertion
	}
	respond 418
}`)
	b := s.browser()
	b.signIn(adminName, adminPass)
	b.fetch("/x")
	if got := s.up.last(); got.URI != "/x" || got.Header.Get("Remote-User") != "" || got.Header.Get(signedHeader) != "" {
		t.Errorf("the app is asked for %q by %q, whom nothing would follow", got.URI, got.Header.Get("Remote-User"))
	}
}

// What is written in JSON by hand is as safe as a Caddyfile.
func TestJSONConfigurationsHaveNoBypass(t *testing.T) {
	const proxy = `{"handler":"reverse_proxy","upstreams":[{"dial":"UPSTREAM"}]}`
	const gate = `{"handler":"gatehouse","headers":[{"name":"X-Who","value":"user"}]}`
	s := startAdmin(t, "gatehouse")
	for name, c := range map[string]struct{ routes, errors, named string }{
		"a route before":           {routes: `[{"match":[{"path":["/hook"]}],"handle":[` + proxy + `]},{"handle":[` + gate + `,` + proxy + `]}]`},
		"a route after":            {routes: `[{"match":[{"path":["/other"]}],"handle":[` + gate + `]},{"handle":[` + proxy + `]}]`},
		"of the same host":         {routes: `[{"match":[{"host":["127.0.0.1"],"path":["/hook"]}],"handle":[` + proxy + `],"terminal":true},{"match":[{"host":["127.0.0.1"]}],"handle":[` + gate + `]}]`},
		"errors of a subroute":     {routes: `[{"handle":[{"handler":"subroute","routes":[{"handle":[{"handler":"error","status_code":500},` + gate + `]}],"errors":{"routes":[{"handle":[` + proxy + `]}]}}]}]`},
		"errors of the server":     {routes: `[{"handle":[{"handler":"error","status_code":500},` + gate + `]}]`, errors: `[{"handle":[` + proxy + `]}]`},
		"a gate in an inner route": {routes: `[{"match":[{"path":["/hook"]}],"handle":[{"handler":"subroute","routes":[{"handle":[` + proxy + `]},{"handle":[{"handler":"subroute","routes":[{"handle":[` + gate + `]}]}]}]}]}]`},
		"a group":                  {routes: `[{"group":"g","match":[{"path":["/hook"]}],"handle":[` + proxy + `]},{"group":"g","handle":[` + gate + `]}]`},
		"a skipped one of a group": {routes: `[{"group":"g","match":[{"path":["/hook"]}],"handle":[{"handler":"headers"}]},{"group":"g","terminal":true,"match":[{"host":["127.0.0.1"]}],"handle":[{"handler":"static_response"}]},{"match":[{"host":["127.0.0.1","b.example"],"path":["/x"]}],"handle":[` + gate + `]},{"handle":[` + proxy + `]}]`},
		"errors of a neighbor":     {routes: `[{"match":[{"host":["127.0.0.1"]}],"terminal":true,"handle":[{"handler":"error","status_code":500}]},{"match":[{"path":["/x"]}],"handle":[` + gate + `]}]`, errors: `[{"terminal":true,"handle":[` + proxy + `]}]`},
		"a named route":            {routes: `[{"match":[{"path":["/hook"]}],"handle":[{"handler":"invoke","name":"app"}]},{"handle":[` + gate + `]}]`, named: `{"app":{"handle":[` + proxy + `]}}`},
		"a named gate":             {routes: `[{"match":[{"path":["/hook"]}],"handle":[{"handler":"subroute","routes":[{"handle":[` + proxy + `]}]}]},{"handle":[{"handler":"invoke","name":"gate"}]}]`, named: `{"gate":{"handle":[` + gate + `]}}`},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			s.t = t
			if err := s.loadJSON(func(server map[string]any) {
				server["routes"] = s.fromJSON(c.routes)
				if c.errors != "" {
					server["errors"] = map[string]any{"routes": s.fromJSON(c.errors)}
				}
				if c.named != "" {
					server["named_routes"] = s.fromJSON(c.named)
				}
			}); err != nil {
				t.Fatal(err)
			}
			leaked, asked := s.forge("POST", "/hook", strings.Repeat("A", 43))
			if asked == 0 {
				t.Error("the app is not reached: the case shows nothing")
			}
			for _, line := range leaked {
				t.Errorf("the app is told %s", line)
			}
		})
	}
	s.t = t
}

// A site that has no gate is left alone, though it is served by the same socket.
func TestOtherSitesAreUntouched(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	_, port, _ := strings.Cut(s.addr, ":")
	other := "http://other.example:" + port + " {\n\tbind 127.0.0.1\n\treverse_proxy UPSTREAM\n}\nhttp://*.many.example:" + port + " {\n\tbind 127.0.0.1\n\tgatehouse\n\treverse_proxy UPSTREAM\n}\n" +
		"http://one.many.example:" + port + " {\n\tbind 127.0.0.1\n\treverse_proxy UPSTREAM\n\terror /down 500\n\thandle_errors {\n\t\treverse_proxy UPSTREAM\n\t}\n}\n"
	if err := s.reload(s.caddyfile() + other); err != nil {
		t.Fatal(err)
	}
	s.waitForOldSocket()
	for host, want := range map[string]string{"other.example": "from elsewhere", "one.many.example": "from elsewhere", "two.many.example": "", s.addr: ""} {
		for _, path := range []string{"/x", "/down"} {
			before := s.up.count()
			r := s.browser().request("GET", path, nil, "Remote-User", "from elsewhere")
			r.Host = host
			a := s.browser().do(r)
			if want == "" {
				if s.up.count() != before {
					t.Errorf("%s%s is open, answered %d", host, path, a.StatusCode)
				}
				continue
			}
			if got := s.up.last().Header.Get("Remote-User"); s.up.count() == before || got != want {
				t.Errorf("the app of %s%s is told %q", host, path, got)
			}
		}
	}
}

// Error routes of a site for every host are those of its neighbors, too, unless they have some of their own.
func TestErrorsOfANeighborSendNoForgedIdentityToTheGatedApp(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	_, port, _ := strings.Cut(s.addr, ":")
	base, _, _ := strings.Cut(s.caddyfile(), "\nhttp://")
	site := func(host, lines string) string {
		return "\nhttp://" + host + ":" + port + " {\n\tbind 127.0.0.1\n\t" + lines + "\n}\n"
	}
	const toApp = "\n\thandle_errors {\n\t\treverse_proxy UPSTREAM\n\t}"
	if err := s.reload(base + site("", "gatehouse\n\treverse_proxy UPSTREAM"+toApp) + site("neighbor.example", "error 500") + site("own.example", "error 500"+toApp)); err != nil {
		t.Fatal(err)
	}
	s.waitForOldSocket()
	for host, want := range map[string]string{"neighbor.example": "", "own.example": "from elsewhere"} {
		before := s.up.count()
		r := s.browser().request("POST", "/x", nil, "Remote-User", "from elsewhere", "Cookie", "gatehouse="+strings.Repeat("A", 43))
		r.Host = host
		s.browser().do(r)
		got := s.up.last().Header
		if s.up.count() == before || got.Get("Remote-User") != want || (got.Get("Cookie") == "") != (want == "") {
			t.Errorf("the app is told by errors of %s: %q, cookie %q", host, got.Get("Remote-User"), got.Get("Cookie"))
		}
	}
}

// No placeholder can read what the gate stores of a request.
func TestThePlaceholderOfTheGatesOwnVariableIsEmpty(t *testing.T) {
	s := startAdmin(t, "gatehouse\nheader X-Seen \"[{http.vars.http.gatehouse.request}]\"\nrespond \"[{http.vars.http.gatehouse.request}]\"")
	b := s.browser()
	b.signIn(adminName, adminPass)
	a := b.fetch("/x")
	if a.StatusCode != http.StatusOK || a.body != "[]" || a.Header.Get("X-Seen") != "[]" {
		t.Errorf("%d %s %s", a.StatusCode, a.body, a.Header.Get("X-Seen"))
	}
}
