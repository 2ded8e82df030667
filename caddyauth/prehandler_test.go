package caddyauth_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// reload loads another text instead of the server's Caddyfile.
func (s *caddyServer) reload(text string) error {
	return loadCaddyfile(strings.ReplaceAll(text, "UPSTREAM", s.up.Listener.Addr().String()))
}

// everyHost makes the site one for every host, whose routes Caddy keeps without a subroute.
func (s *caddyServer) everyHost(text string) string {
	_, port, _ := strings.Cut(s.addr, ":")
	return strings.Replace(text, "http://"+s.addr+" {", "http://:"+port+" {", 1)
}

// forge asks for something with everything by which a client could speak for the gate, and returns what the app was
// leaked of who asks, and how often it was asked.
func (s *caddyServer) forge(method, target, cookie string) (leaked []string, asked int) {
	s.t.Helper()
	before := s.up.count()
	request := method + " " + target + " HTTP/1.1\nHost: " + s.addr + "\nRemote-User: forged\nremote_groups: forged\nRemote.Role: forged\nRemote~Email: forged\n-Remote-Name-: forged\nGatehouse-Assertion: forged\ngatehouse_assertion: forged\n" +
		"X-Who: forged\nProxy: forged\nCookie: a=1; gatehouse=" + cookie + "; __Host-gatehouse=x; gatehouse-device=x; __Secure-gatehouse=x; b=2\n" +
		"Connection: close, Remote-User, X-Who\nTransfer-Encoding: chunked\nTrailer: Remote-User, X-Who\n\n14\n" + strings.Repeat("x", 20) + "\n0\nRemote-User: forged\nX-Who: forged\n\n"
	eventually(s.t, "an answer", func() bool { // the socket of the configuration before may be closing
		return !strings.HasPrefix(s.raw(request), "no answer") || s.up.count() > before
	})
	s.up.mu.Lock()
	defer s.up.mu.Unlock()
	for _, got := range s.up.seen[before:] {
		for _, headers := range []http.Header{got.Header, got.Trailer} {
			for name, values := range headers {
				for _, v := range values {
					if v == "forged" || strings.Contains(v, "gatehouse") || strings.HasPrefix(name, "Remote-") {
						leaked = append(leaked, name+": "+v)
					}
				}
			}
		}
		if c := got.Header.Get("Cookie"); !strings.Contains(c, "a=1") || !strings.Contains(c, "b=2") {
			leaked = append(leaked, "not the app's own cookies: "+c)
		}
	}
	return leaked, len(s.up.seen) - before
}

// bypasses are sites on which a request reaches the app without the gate having passed it on: site lines, and lines
// of the global part that define named routes.
var bypasses = map[string]struct {
	site, named, method, target string
	late                        bool // the gate stands in a named route or in error routes only
}{
	"a handle block of its own":      {site: "handle /hook/* {\n\treverse_proxy UPSTREAM\n}\nhandle {\n\tgatehouse GATE\n\treverse_proxy UPSTREAM\n}", target: "/hook/x"},
	"a handle_path block":            {site: "handle_path /hook/* {\n\treverse_proxy UPSTREAM\n}\nhandle {\n\tgatehouse GATE\n\treverse_proxy UPSTREAM\n}", target: "/hook/x"},
	"a route block before":           {site: "route {\n\treverse_proxy /hook/* UPSTREAM\n\tgatehouse GATE\n}", target: "/hook/x"},
	"a route block after":            {site: "handle /x {\n\tgatehouse GATE\n}\nroute /hook/* {\n\treverse_proxy UPSTREAM\n}", target: "/hook/x"},
	"a block within a block":         {site: "handle /a/* {\n\thandle /a/hook/* {\n\t\troute {\n\t\t\treverse_proxy UPSTREAM\n\t\t}\n\t}\n\thandle {\n\t\tgatehouse GATE\n\t}\n}", target: "/a/hook/x"},
	"PHP":                            {site: "handle /hook/* {\n\treverse_proxy UPSTREAM {\n\t\trewrite /index.php?x\n\t}\n}\nhandle {\n\tgatehouse GATE\n}", target: "/hook/x"},
	"another gate before":            {site: "handle /hook/* {\n\tforward_auth UPSTREAM {\n\t\turi /check\n\t}\n\treverse_proxy UPSTREAM\n}\nhandle {\n\tgatehouse GATE\n}", target: "/hook/x"},
	"an app that answers for one":    {site: "handle /hook/* {\n\treverse_proxy UPSTREAM {\n\t\t@ok status 200\n\t\thandle_response @ok {\n\t\t\treverse_proxy UPSTREAM\n\t\t}\n\t}\n}\nhandle {\n\tgatehouse GATE\n}", target: "/hook/x"},
	"what is put for the gate's no":  {site: "route {\n\tintercept {\n\t\t@no status 401\n\t\thandle_response @no {\n\t\t\treverse_proxy UPSTREAM\n\t\t}\n\t}\n\tgatehouse GATE\n\treverse_proxy UPSTREAM\n}", target: "/x"},
	"a body that is too large":       {site: "request_body {\n\tmax_size 1\n}\nroute {\n\treverse_proxy /hook/* 127.0.0.1:1\n\tgatehouse GATE\n}\nhandle_errors {\n\treverse_proxy UPSTREAM {\n\t\tmethod GET\n\t}\n}", target: "/hook/x"},
	"a file that is not there":       {site: "try_files {path} =404\ngatehouse GATE\nhandle_errors {\n\treverse_proxy UPSTREAM\n}", target: "/x"},
	"an error before the gate":       {site: "route {\n\terror /x 418\n\tgatehouse GATE\n}\nhandle_errors 4xx {\n\troute {\n\t\treverse_proxy UPSTREAM\n\t}\n}", target: "/x"},
	"an error beside the gate":       {site: "handle /hook {\n\terror 500\n}\nhandle {\n\tgatehouse GATE\n}\nhandle_errors {\n\thandle {\n\t\treverse_proxy UPSTREAM\n\t}\n}", target: "/hook"},
	"an app that is down":            {site: "handle /hook {\n\treverse_proxy 127.0.0.1:1\n}\nhandle {\n\tgatehouse GATE\n}\nhandle_errors 502 {\n\treverse_proxy UPSTREAM\n}", target: "/hook"},
	"a method that is none":          {site: "gatehouse GATE\nhandle_errors {\n\treverse_proxy UPSTREAM\n}", method: strings.Repeat("X", 40), target: "/x"},
	"a named route":                  {site: "handle /hook {\n\tinvoke app\n}\nhandle {\n\tgatehouse GATE\n}", named: "&(app) {\n\treverse_proxy UPSTREAM\n}", target: "/hook"},
	"beside a gate in a named route": {site: "handle /hook {\n\treverse_proxy UPSTREAM\n}\nhandle {\n\tinvoke gated\n}", named: "&(gated) {\n\tgatehouse GATE\n\treverse_proxy UPSTREAM\n}", target: "/hook", late: true},
	"named routes beside another":    {site: "handle /hook {\n\tinvoke app\n}\nhandle {\n\tinvoke gated\n}", named: "&(gated) {\n\tgatehouse GATE\n}\n&(app) {\n\treverse_proxy UPSTREAM\n}", target: "/hook", late: true},
	"errors beside a named gate":     {site: "handle /hook {\n\terror 500\n}\nhandle {\n\tinvoke gated\n}\nhandle_errors {\n\thandle {\n\t\treverse_proxy UPSTREAM\n\t}\n}", named: "&(gated) {\n\tgatehouse GATE\n}", target: "/hook", late: true},
	"beside a gate in error routes":  {site: "handle /hook {\n\treverse_proxy UPSTREAM\n}\nhandle {\n\terror 404\n}\nhandle_errors {\n\tgatehouse GATE\n\treverse_proxy UPSTREAM\n}", target: "/hook", late: true},
	"an upstream after a block":      {site: "handle /x {\n\tgatehouse GATE\n}", target: "/hook"},
}

// No way through a site that has a gate carries an identity that a client made up, or our cookie, to an app: neither in
// the blocks beside the gate, nor in error routes, nor in named ones; whether the site names its hosts or not.
func TestNoBypassSendsAForgedIdentity(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	b := s.browser()
	b.signIn(adminName, adminPass)
	cookie := b.cookie()
	for name, c := range bypasses {
		for _, everyHost := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/every host %v", strings.ReplaceAll(name, " ", "_"), everyHost), func(t *testing.T) {
				s.t, s.site = t, strings.ReplaceAll(c.site, "GATE", "{\n\theader X-Who user\n}")
				text := strings.Replace(s.caddyfile(), "\nhttp://", "\n"+strings.ReplaceAll(c.named, "GATE", "{\n\theader X-Who user\n}")+"\nhttp://", 1)
				if everyHost {
					text = s.everyHost(text)
				}
				if c.late && everyHost { // the app at the site's end is in no block
					if err := s.reload(text); err == nil || !strings.Contains(err.Error(), "write gatehouse in the site itself") {
						t.Errorf("what cannot be made safe is loaded: %v", err)
					}
					last := "\treverse_proxy " + s.up.Listener.Addr().String() + "\n}\n"
					text = strings.TrimSuffix(text, last) + "\thandle {\n" + last + "}\n"
				}
				if err := s.reload(text); err != nil {
					t.Fatal(err)
				}
				method := c.method
				if method == "" {
					method = "POST"
				}
				for who, value := range map[string]string{"a stranger": strings.Repeat("A", 43), "somebody who is signed in": cookie} {
					leaked, asked := s.forge(method, c.target, value)
					if asked == 0 {
						t.Errorf("%s does not reach the app: the case shows nothing", who)
					}
					for _, line := range leaked {
						t.Errorf("%s: the app is told %s", who, line)
					}
				}
			})
		}
	}
	s.t = t
}
