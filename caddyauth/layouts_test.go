package caddyauth_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// layouts are ways to put a gate before an app at /app/ that people write, each with the app at a path of its own.
// They stand in one site; named has what stands before it.
var layouts = []struct {
	name, named, site string
	neighbor          string // a path that no gate guards, "" for none
	late              bool   // the gate comes after the app, which a warning says
	needsHost         bool   // without a host in the site's address it is refused
}{
	{name: "the site", site: "gatehouse\nreverse_proxy UPSTREAM"},
	{name: "a matcher", site: "gatehouse /app/*\nreverse_proxy UPSTREAM", neighbor: "/x"},
	{name: "handle", site: "handle /app/* {\n\tgatehouse\n\treverse_proxy UPSTREAM\n}"},
	{name: "handle beside an app", site: "handle /app/* {\n\tgatehouse\n\treverse_proxy UPSTREAM\n}\nhandle {\n\treverse_proxy UPSTREAM\n}", neighbor: "/x"},
	{name: "handle beside a text", site: "handle /app/* {\n\tgatehouse\n\treverse_proxy UPSTREAM\n}\nhandle {\n\trespond \"neighbor\" 404\n}", neighbor: "/x"},
	{name: "handle_path", site: "handle_path /app/* {\n\tgatehouse\n\treverse_proxy UPSTREAM\n}\nhandle {\n\trespond \"neighbor\"\n}", neighbor: "/x"},
	{name: "several apps", site: "handle_path /app/* {\n\tgatehouse {\n\t\trequire role admin\n\t}\n\treverse_proxy UPSTREAM\n}\nhandle_path /other/* {\n\tgatehouse\n\treverse_proxy UPSTREAM\n}\nhandle /third/* {\n\tgatehouse\n\treverse_proxy UPSTREAM\n}"},
	{name: "route", site: "route /app/* {\n\tgatehouse\n\treverse_proxy UPSTREAM\n}\nrespond \"neighbor\"", neighbor: "/x"},
	{name: "route after the app", site: "route {\n\treverse_proxy UPSTREAM\n\tgatehouse\n}", neighbor: "/x", late: true},
	{name: "route after a text", site: "route {\n\trespond \"neighbor\"\n\tgatehouse\n}", neighbor: "/x", late: true},
	{name: "route within handle", site: "handle {\n\troute {\n\t\thandle_path /app/* {\n\t\t\troute {\n\t\t\t\tgatehouse\n\t\t\t\treverse_proxy UPSTREAM\n\t\t\t}\n\t\t}\n\t\treverse_proxy UPSTREAM\n\t}\n}", neighbor: "/x"},
	{name: "an expression", site: "@app expression `{path}.startsWith('/app/')`\nhandle @app {\n\tgatehouse\n\treverse_proxy UPSTREAM\n}\nhandle {\n\tfile_server\n}"},
	{name: "a regular expression", site: "@app path_regexp ^/app/\nroute @app {\n\tgatehouse\n\treverse_proxy UPSTREAM\n}\nreverse_proxy UPSTREAM", neighbor: "/x"},
	{name: "all but a path", site: "@rest not path /x /_auth/*\nhandle @rest {\n\tgatehouse\n\treverse_proxy UPSTREAM\n}\nhandle {\n\treverse_proxy UPSTREAM\n}", neighbor: "/x"},
	{name: "a single-page app", site: "handle /app/* {\n\tgatehouse\n\treverse_proxy UPSTREAM\n}\nhandle {\n\troot * ROOT\n\ttry_files {path} /index.html\n\tfile_server\n}", neighbor: "/x"},
	{name: "rewritten first", site: "rewrite /_auth/* /index.html\nhandle /app/* {\n\tgatehouse\n\treverse_proxy UPSTREAM\n}"},
	{name: "a snippet", named: "(gated) {\n\thandle /app/* {\n\t\tgatehouse\n\t\treverse_proxy {args[0]}\n\t}\n}", site: "import gated UPSTREAM\nrespond \"neighbor\"", neighbor: "/x"},
	{name: "a named route", named: "&(gate) {\n\tgatehouse\n}", site: "handle /app/* {\n\tinvoke gate\n\treverse_proxy UPSTREAM\n}\nhandle {\n\treverse_proxy UPSTREAM\n}", neighbor: "/x"},
	{name: "a named app", named: "&(app) {\n\troute {\n\t\tgatehouse\n\t\treverse_proxy UPSTREAM\n\t}\n}", site: "handle_path /app/* {\n\tinvoke app\n}\nhandle_path /other/* {\n\tinvoke app\n}", needsHost: true},
	{name: "a host in the site", site: "@here host 127.0.0.1\nhandle @here {\n\thandle /app/* {\n\t\tgatehouse\n\t\treverse_proxy UPSTREAM\n\t}\n\thandle {\n\t\treverse_proxy UPSTREAM\n\t}\n}", neighbor: "/x"},
	{name: "error routes", site: "handle /app/* {\n\terror 418\n}\nhandle {\n\treverse_proxy UPSTREAM\n}\nhandle_errors {\n\tgatehouse\n\treverse_proxy UPSTREAM\n}", neighbor: "/x"},
	{name: "behind headers and compression", site: "header X-Site yes\nencode gzip\nhandle /app/* {\n\tgatehouse\n\treverse_proxy UPSTREAM\n}\nhandle {\n\treverse_proxy UPSTREAM\n}", neighbor: "/x"},
}

// Whatever block a gate stands in, people can sign in on its site, get to the app, reach their account and sign out.
func TestSignInWorksWhateverBlockTheGateStandsIn(t *testing.T) {
	s := startAdmin(t, "gatehouse", withGlobal("throttle {\n\tclient 100000/1m\n}"))
	for _, l := range layouts {
		t.Run(strings.ReplaceAll(l.name, " ", "_"), func(t *testing.T) {
			s.t = t
			s.site = strings.ReplaceAll(l.site, "ROOT", s.dir)
			named := strings.ReplaceAll(l.named, "UPSTREAM", s.up.Listener.Addr().String())
			text := strings.Replace(s.caddyfile(), "\nhttp://", "\n"+named+"\nhttp://", 1)
			text = strings.TrimSuffix(text, "\treverse_proxy "+s.up.Listener.Addr().String()+"\n}\n") + "}\n"
			for kind, text := range map[string]string{"a host": text, "every host": s.everyHost(text)} {
				err := s.reload(text)
				if kind == "every host" && l.needsHost {
					if err == nil || !strings.Contains(err.Error(), "nobody could sign in") {
						t.Errorf("pages that cannot be reached are no error: %v", err)
					}
					continue
				}
				if err != nil {
					t.Fatalf("%s: %v", kind, err)
				}
				useLayout(t, s, kind, l.neighbor, l.late)
			}
		})
	}
}

// useLayout signs in on a site, uses what is there, and signs out again.
func useLayout(t *testing.T, s *caddyServer, kind, neighbor string, late bool) {
	t.Helper()
	b := s.browser()
	if a := b.page("/app/lab?x=1"); !late && (a.StatusCode != http.StatusFound || !strings.HasPrefix(a.Header.Get("Location"), "/_auth/login?")) {
		t.Errorf("%s: a stranger at the app: %d %s", kind, a.StatusCode, a.Header.Get("Location"))
	}
	if a := b.page("/_auth/login?rt=%2Fapp%2Flab"); a.StatusCode != 200 || !strings.Contains(a.body, `name="password"`) {
		t.Fatalf("%s: the sign-in page: %d %.200s", kind, a.StatusCode, a.body)
	}
	if neighbor != "" {
		if a := b.page(neighbor); a.StatusCode == http.StatusFound || strings.Contains(a.body, `name="password"`) {
			t.Errorf("%s: the neighbor is guarded: %d", kind, a.StatusCode)
		}
	}
	before := s.up.count()
	if a := b.post("/_auth/login", "username", adminName, "password", adminPass, "rt", "/app/lab"); a.StatusCode != 303 || a.Header.Get("Location") != "/app/lab" {
		t.Fatalf("%s: the sign-in: %d %s %.200s", kind, a.StatusCode, a.Header.Get("Location"), a.body)
	}
	for _, page := range []string{"/_auth/account", "/_auth/admin/users", "/_auth/healthz", "/_auth/api/v1/me"} {
		if a := b.page(page); a.StatusCode != 200 || a.Header.Get("X-Upstream") != "" {
			t.Errorf("%s: %s: %d", kind, page, a.StatusCode)
		}
	}
	if s.up.count() != before {
		t.Errorf("%s: the app saw a request for our pages: %v", kind, s.up.last())
	}
	if !late {
		if a := b.fetch("/app/lab"); a.Header.Get("X-Upstream") != "yes" || a.StatusCode != 200 || s.up.last().Header.Get("Remote-User") != adminName {
			t.Errorf("%s: the app is not reached: %d %v, %v", kind, a.StatusCode, a.Header, s.up.last())
		}
	}
	if a := b.post("/_auth/logout"); a.StatusCode != 303 {
		t.Errorf("%s: signing out: %d", kind, a.StatusCode)
	}
	if a := b.fetch("/app/lab"); !late && a.StatusCode != 401 {
		t.Errorf("%s: after signing out: %d", kind, a.StatusCode)
	}
}

// The pages are not put before what refuses some people on purpose, nor in place of other sites.
func TestPagesStayBehindWhatRefusesStrangers(t *testing.T) {
	const blocks = "\n\t\thandle /app/* {\n\t\t\tgatehouse\n\t\t\treverse_proxy UPSTREAM\n\t\t}\n\t\thandle {\n\t\t\treverse_proxy UPSTREAM\n\t\t}\n"
	s := startAdmin(t, "gatehouse")
	for name, c := range map[string]struct {
		site, path string
		want       int
	}{
		"some addresses refused":     {"route {\n\t\t@out not remote_ip 192.0.2.0/24\n\t\trespond @out 451" + blocks + "}", "/_auth/login", 451},
		"other addresses refused":    {"route {\n\t\t@out remote_ip 192.0.2.0/24\n\t\trespond @out 451" + blocks + "}", "/_auth/login", 200},
		"administration closed":      {"route {\n\t\trespond /_auth/admin/* 451" + blocks + "}", "/_auth/admin/users", 451},
		"administration closed here": {"handle /_auth/admin/* {\n\trespond 451\n}\nhandle {\n\tgatehouse\n\treverse_proxy UPSTREAM\n}", "/_auth/admin/users", 451},
		"basic authentication":       {"basic_auth {\n\tbob $2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG\n}" + blocks, "/_auth/login", 401},
		"another host's block":       {"@other host other.test\nhandle @other {" + blocks + "}\nhandle {\n\trespond 451\n}", "/_auth/login", 451},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			s.t, s.site = t, c.site
			if err := s.load(); err != nil {
				t.Fatal(err)
			}
			if a := s.browser().page(c.path); a.StatusCode != c.want {
				t.Errorf("%s: %d, want %d", c.path, a.StatusCode, c.want)
			}
		})
	}
}

// A path in a site's address is part of its matcher: sign-in works for the whole host all the same.
func TestASiteWithAPathInItsAddressHasPages(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	text := strings.Replace(s.caddyfile(), "http://"+s.addr+" {", "http://"+s.addr+"/app/* {", 1)
	text += fmt.Sprintf("http://%s {\n\tbind 127.0.0.1\n\trespond \"neighbor\"\n}\n", s.addr)
	if err := s.reload(text); err != nil {
		t.Fatal(err)
	}
	useLayout(t, s, "a path in the address", "/x", false)
}
