package caddyauth_test

import (
	"net/http"
	"strings"
	"testing"
)

// Of several gates on the way of a request one is enough that has its path among those for Basic, wherever it stands.
func TestBasicIsTakenWhereAnyGateOnTheWaySaysSo(t *testing.T) {
	inner := "gatehouse {\n\t\tbasic /git/*\n\t}\n"
	for name, site := range map[string]string{
		"inner in handle":       "gatehouse\nhandle /git/* {\n\t" + inner + "}\nhandle {\n}",
		"inner in route":        "gatehouse\nroute {\n\t" + inner + "}",
		"inner behind handles":  "gatehouse\nhandle /git/* {\n\thandle /other/* {\n\t}\n\thandle {\n\t" + inner + "\t}\n}",
		"inner with a matcher":  "gatehouse\nroute {\n\tgatehouse /git/* {\n\t\tbasic /git/*\n\t}\n}",
		"outer":                 "gatehouse {\n\tbasic /git/*\n}\nhandle /git/* {\n\tgatehouse\n}",
		"both":                  "gatehouse {\n\tbasic /git/*\n}\nhandle /git/* {\n\t" + inner + "}",
		"three, the second one": "gatehouse\nroute {\n\t" + inner + "\troute {\n\t\tgatehouse\n\t}\n}",
	} {
		t.Run(name, func(t *testing.T) {
			s := startAdmin(t, site, withGlobal("tokens"))
			s.addPerson("worker")
			token := s.addToken("worker")
			b := s.browser()
			a := b.do(b.plain("GET", "/git/x", "Authorization", basicAuth("x", token)))
			if a.StatusCode != 200 {
				t.Fatalf("a token on the path: %d %s", a.StatusCode, a.body)
			}
			checkTokenIsHidden(t, s.up.last())
			if a := b.do(b.plain("GET", "/x", "Authorization", basicAuth("x", token))); a.StatusCode != 401 {
				t.Errorf("elsewhere: %d", a.StatusCode)
			}
			for path, want := range map[string]bool{"/git/x": true, "/x": false} {
				lines := b.do(b.plain("GET", path)).Header.Values("WWW-Authenticate")
				if got := len(lines) == 2 && strings.HasPrefix(lines[0], "Basic "); got != want {
					t.Errorf("%s without a token: WWW-Authenticate %q", path, lines)
				}
			}
			for _, h := range []string{"Origin", "Sec-Fetch-Site"} {
				if a := b.do(b.plain("GET", "/git/x", "Authorization", basicAuth("x", token), h, "none")); a.StatusCode != 401 {
					t.Errorf("with %s: %d", h, a.StatusCode)
				}
			}
		})
	}
}

// A gate that does not guard a request changes nothing for it.
func TestBasicOfAGateBesideTheWayDoesNotCount(t *testing.T) {
	s := startAdmin(t, "gatehouse\nhandle /other/* {\n\tgatehouse {\n\t\tbasic /*\n\t}\n}\nhandle {\n\tgatehouse /never/* {\n\t\tbasic /git/*\n\t}\n}",
		withGlobal("tokens"))
	s.addPerson("worker")
	token := s.addToken("worker")
	b := s.browser()
	for path, want := range map[string]int{"/other/x": 200, "/git/x": 401, "/x": 401} {
		if a := b.do(b.plain("GET", path, "Authorization", basicAuth("x", token))); a.StatusCode != want {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
}

// plain returns a program's request, with these headers and no others.
func (b *browser) plain(method, path string, header ...string) *http.Request {
	r := b.request(method, path, nil, header...)
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	r.Header = h
	return r
}

// A path for Basic on which no token is taken is worth a warning that says where it is, and an error with strict.
func TestBasicWhereNoTokenIsTakenIsWarnedAbout(t *testing.T) {
	const text = "programs are asked for a token there"
	for lines, path := range map[string]string{
		"basic /git/*":                                      "",
		"basic /git/*\n\ttokens /git/*":                     "",
		"basic /git/x /one\n\ttokens /git/* /one":           "",
		"basic /git/*\n\ttokens /api/*":                     "/git/*",
		"basic /*\n\ttokens /git/*":                         "/*",
		"basic /git/* /two\n\ttokens /one /git/*":           "/two",
		"basic /git/*\n\ttokens /git/one/* /git/two/* /git": "/git/*",
	} {
		s := startAdmin(t, "gatehouse {\n\t"+lines+"\n}", withGlobal("tokens"))
		b := s.browser()
		b.signIn(adminName, adminPass)
		s.logs.waitFor(t, "signed in") // what was logged before has arrived
		logged := s.logs.String()
		if got := strings.Count(logged, text); (got == 1) != (path != "") || !strings.Contains(logged, "basic "+path+": "+text) == (path != "") {
			t.Errorf("%q: %d warnings\n%s", lines, got, grep(logged, text))
		}
		if path != "" && !strings.Contains(grep(logged, text), "Caddyfile:") {
			t.Errorf("%q: no place: %s", lines, grep(logged, text))
		}
		strict := strings.Replace(s.caddyfile(), "gatehouse {\n", "gatehouse {\n\t\tstrict\n", 1)
		if err := s.reload(strict); (err != nil) != (path != "") {
			t.Errorf("%q with strict: %v", lines, err)
		}
	}
}
