package caddyauth_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// behindProxy runs a site on two names, the administration on auth.test alone, behind a proxy that Caddy trusts.
func behindProxy(t *testing.T, global, servers string) *caddyServer {
	t.Helper()
	s := startAdmin(t, "gatehouse")
	s.global = "admin_host auth.test\n" + global
	text := strings.Replace(s.caddyfile(), "\tgatehouse {\n\t\tstore", "\tservers {\n\t\ttrusted_proxies static 127.0.0.1/32\n"+servers+"\t}\n\tgatehouse {\n\t\tstore", 1)
	_, port, _ := strings.Cut(s.addr, ":")
	if err := loadCaddyfile(strings.Replace(text, "http://"+s.addr+" {", "http://:"+port+" {", 1)); err != nil {
		t.Fatal(err)
	}
	s.waitForOldSocket()
	s.servesAnyHost()
	return s
}

// servesAnyHost waits until the configuration in force serves requests for any host.
func (s *caddyServer) servesAnyHost() {
	s.t.Helper()
	b := s.browser()
	eventually(s.t, "every host to be served", func() bool {
		r := b.request("GET", "/_auth/healthz", nil)
		r.Host = "elsewhere.test"
		a, err := b.try(r)
		return err == nil && a.StatusCode == 200
	})
}

// as requests a path of a host, with a session and headers of a proxy.
func (b *browser) as(host, method, path string, header ...string) response {
	b.t.Helper()
	r := b.request(method, path, nil, append([]string{"Cookie", "gatehouse=" + b.cookie(), "Accept", "text/html", "Sec-Fetch-Site", "same-origin"}, header...)...)
	r.Host = host
	return b.do(r)
}

// Script in an app can send any header to its own host. The administration is where the Host header says, and nothing
// that another proxy passes on makes it otherwise.
func TestNoProxyHeaderOpensTheAdminPagesOnAnotherHost(t *testing.T) {
	for _, global := range []string{"", "forwarded_host"} {
		s := behindProxy(t, global, "")
		b := s.browser()
		b.signIn(adminName, adminPass)
		if a := b.as("auth.test", "GET", "/_auth/admin/users"); a.StatusCode != 200 {
			t.Fatalf("on its host the administration answers %d", a.StatusCode)
		}
		if a := b.as("auth.test", "GET", "/_auth/admin/users", "X-Forwarded-Host", "app.test"); a.StatusCode != 200 {
			t.Errorf("on its host, whatever is forwarded: %d", a.StatusCode)
		}
		claims := [][]string{{}}
		for _, name := range []string{"X-Forwarded-Host", "X-Host", "X-Original-Host", "X-Forwarded-Server", "X-HTTP-Host-Override", "X-Forwarded-For"} {
			claims = append(claims, []string{name, "auth.test"}, []string{name, "auth.test, app.test"}, []string{name, "auth.test", name, "auth.test"})
		}
		claims = append(claims, []string{"Forwarded", "host=auth.test;proto=https"}, []string{"X-Original-Url", "https://auth.test/_auth/admin/users"},
			[]string{"X-Rewrite-Url", "/_auth/admin/users"}, []string{"Origin", "http://auth.test"}, []string{"Referer", "http://auth.test/"})
		for _, claim := range claims {
			for _, host := range []string{"app.test", "auth.test.", "xauth.test", "auth.test.app.test", "app.test:80", "auth_test"} {
				for _, path := range []string{"/_auth/admin", "/_auth/admin/users", "/_auth/api/v1/users", "/_auth/api/v1/settings", "/_auth/admin/users/export.csv", "/_auth/api/v1/users/x/links"} {
					for _, method := range []string{"GET", "POST"} {
						if a := b.as(host, method, path, claim...); a.StatusCode != 404 && a.StatusCode != 403 || a.StatusCode == 403 && method == "GET" {
							t.Errorf("%q: %s %s%s with %q: %d", global, method, host, path, claim, a.StatusCode)
						}
					}
				}
			}
		}
	}
}

// The target of the request line and the Host header can name different hosts; HTTP says which one counts, and two Host
// headers are no request at all.
func TestAdminPagesAreServedByTheRequestedHost(t *testing.T) {
	s := behindProxy(t, "", "")
	b := s.browser()
	b.signIn(adminName, adminPass)
	cookie := "\nCookie: gatehouse=" + b.cookie() + "\nConnection: close\n\n"
	for request, want := range map[string]string{
		"GET /_auth/admin/users HTTP/1.1\nHost: auth.test":                             "200",
		"GET /_auth/admin/users HTTP/1.1\nHost: AUTH.Test":                             "200",
		"GET /_auth/admin/users HTTP/1.1\nHost: auth.test:8080":                        "200",
		"GET http://auth.test/_auth/admin/users HTTP/1.1\nHost: app.test":              "200",
		"GET http://app.test/_auth/admin/users HTTP/1.1\nHost: auth.test":              "404",
		"GET http://auth.test@app.test/_auth/admin/users HTTP/1.1\nHost: auth.test":    "404",
		"GET /_auth/admin/users HTTP/1.1\nHost: app.test\nHost: auth.test":             "400",
		"GET /_auth/admin/users HTTP/1.1\nHost: auth.test\nHost: app.test":             "400",
		"GET /_auth/admin/users HTTP/1.1\nHost: auth.test, app.test":                   "400",
		"GET /_auth/admin/users HTTP/1.1\nHost: app.test\nX_Forwarded_Host: auth.test": "404",
		"GET /_auth/admin/users HTTP/1.1\nHost: auth%2etest":                           "404",
		"GET /_auth/admin/users HTTP/1.1\nHost: user@auth.test":                        "400",
		"GET /_auth/admin/users HTTP/1.1\nHost: auth.test:":                            "404",
		"GET /_auth/admin/users HTTP/1.1\nHost: auth.test:080":                         "404",
		"GET /_auth/admin/users HTTP/1.1\nHost:":                                       "400",
		"GET /_auth/admin/users HTTP/1.0\nX-Forwarded-Host: auth.test":                 "404",
		"GET /_auth/admin/users HTTP/1.0\nHost: auth.test":                             "200",
	} {
		got := s.raw(request + cookie)
		if !strings.HasPrefix(got, want) {
			t.Errorf("%q: %.60q, want %s", request, got, want)
		}
	}
}

// X-Forwarded-Host is read only where the operator asked for it, from a trusted proxy, and where it says one thing.
func TestTheForwardedHostCountsWhereItIsConfigured(t *testing.T) {
	for _, c := range []struct {
		global, want string
		header       []string
	}{
		{"", "inner.test", []string{"X-Forwarded-Host", "app.test"}},
		{"forwarded_host", "app.test", []string{"X-Forwarded-Host", "App.test:80"}},
		{"forwarded_host", "app.test", []string{"X-Forwarded-Host", "app.test, app.test"}},
		{"forwarded_host", "inner.test", []string{"X-Forwarded-Host", "evil.test, app.test"}},
		{"forwarded_host", "inner.test", []string{"X-Forwarded-Host", "evil.test", "X-Forwarded-Host", "app.test"}},
		{"forwarded_host", "inner.test", []string{"X-Forwarded-Host", "app.test/x"}},
		{"forwarded_host", "inner.test", []string{"X-Forwarded-Host", ""}},
		{"forwarded_host", "inner.test", []string{"Forwarded", "host=app.test"}},
	} {
		s := behindProxy(t, c.global, "")
		b := s.browser()
		r := b.form("/_auth/login", "username", adminName, "password", adminPass)
		r.Host = "inner.test"
		for i := 0; i < len(c.header); i += 2 {
			r.Header.Add(c.header[i], c.header[i+1])
		}
		a := b.do(r)
		if a.StatusCode != http.StatusSeeOther {
			t.Fatalf("sign-in: %d\n%s", a.StatusCode, a.body)
		}
		for _, c := range a.Cookies() {
			if c.Name == "gatehouse" {
				b.setCookie(c.Value)
			}
		}
		if a := b.page("/_auth/account/sessions"); !strings.Contains(a.body, c.want) {
			t.Errorf("%q with %q: the session was made elsewhere than on %s: %s", c.global, c.header, c.want, a.body)
		}
		if c.global != "" && c.want == "inner.test" && c.header[0] == "X-Forwarded-Host" {
			s.logs.waitFor(t, "X-Forwarded-Host of a trusted proxy names no host, or several")
		}
	}
}

// A proxy that appends to X-Forwarded-Proto leaves in front what the client wrote, and one behind another appends
// "http": neither makes a cookie that HTTP carries of one for HTTPS.
func TestNoForwardedProtoRemovesACookiesProtection(t *testing.T) {
	s := behindProxy(t, "", "")
	for values, secure := range map[string]bool{
		"https": true, "HTTPS": true, "wss": true, "https, https": true, "https|https": true, "http": false, "ws": false,
		"https, http": true, "http, https": true, "https|http": true, "http|https": true, "ftp, wss": true, "": false, "ftp": false, "https;x": false,
		"httpſ": false,
	} {
		b := s.browser()
		r := b.form("/_auth/login", "username", adminName, "password", adminPass)
		r.Header["X-Forwarded-Proto"] = strings.Split(values, "|")
		a := b.do(r)
		if set := fmt.Sprint(a.Header["Set-Cookie"]); a.StatusCode != http.StatusSeeOther || strings.Contains(set, "__Host-gatehouse=") != secure {
			t.Errorf("%q: %d %s", values, a.StatusCode, set)
		}
	}
}

// A word that a proxy says instead of http or https is no "http": what the browser sends over HTTPS alone says more.
func TestASchemeThatNobodyKnowsSignsNobodyOut(t *testing.T) {
	s := behindProxy(t, "", "")
	b := s.browser()
	b.signIn(adminName, adminPass)
	secure, plain := "__Host-gatehouse="+b.cookie(), "gatehouse="+b.cookie()
	for _, c := range []struct {
		proto, cookie string
		status        int
	}{
		{"https", secure, 200},
		{"wss", secure, 200},
		{"WSS", secure, 200},
		{"http, wss", secure, 200},
		{"http", secure, 401},
		{"ws", secure, 401},
		{"http", plain, 200},
		{"ws", plain, 200},
		{"https", plain, 401},
		{"wss", plain, 401},
		{"quic", secure, 200},
		{"https:", secure, 200},
		{"on", secure, 200},
		{"", secure, 200},
		{"quic, http", secure, 401},
		{"quic", plain, 200},
		{"", plain, 200},
		{"quic", plain + "; " + secure, 200},
	} {
		if a := s.sends(c.cookie, "GET", "/", "X-Forwarded-Proto", c.proto); a.StatusCode != c.status {
			t.Errorf("%q with %.12s: %d, want %d", c.proto, c.cookie, a.StatusCode, c.status)
		}
	}
	s.logs.waitFor(t, "X-Forwarded-Proto of a trusted proxy is none of https, http, wss and ws")
}

// A proxy that accepts TLS early data says so, and what may be a replay changes nothing.
func TestEarlyDataOfAProxyIsRefusedWhateverItsValue(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	b := s.browser()
	b.signIn(adminName, adminPass)
	for _, value := range []string{"1", "0", "x", ""} {
		for _, path := range []string{"/save", "/_auth/logout"} {
			if a := b.do(b.request("POST", path, nil, "Early-Data", value)); a.StatusCode != 425 {
				t.Errorf("%q at %s: %d", value, path, a.StatusCode)
			}
		}
		if a := b.do(b.request("GET", "/", nil, "Early-Data", value)); a.StatusCode != 200 {
			t.Errorf("%q: reading is refused: %d", value, a.StatusCode)
		}
	}
}

// A form of ours that a proxy has made look like another site's is refused, with what to change.
func TestAProxyThatChangesTheHostIsNamedInTheLog(t *testing.T) {
	s := behindProxy(t, "", "")
	b := s.browser()
	for _, c := range []struct{ origin, host, cause string }{
		{"http://app.test:8080", "app.test", "proxy_set_header Host $http_host"},
		{"http://app_1.test:8080", "app_1.test", "proxy_set_header Host $http_host"},
		{"null", "app.test", "Referrer-Policy: no-referrer"},
		{"http://app.test", "inner.test", "set forwarded_host"},
	} {
		r := b.request("POST", "/_auth/login", strings.NewReader("username=admin&password=x"), "Content-Type", "application/x-www-form-urlencoded", "Origin", c.origin)
		r.Host = c.host
		if a := b.do(r); a.StatusCode != 403 {
			t.Errorf("%+v: %d", c, a.StatusCode)
		}
		log := s.logs.waitFor(t, `"origin":"`+c.origin+`","host":"`+c.host+`"`)
		if !strings.Contains(log, c.cause) {
			t.Errorf("%+v is not explained", c)
		}
	}
}

// Where Caddy would take the client's own word for its address, the operator is warned, in the log and on the settings
// page.
func TestALenientClientIPIsAWarning(t *testing.T) {
	for servers, warned := range map[string]bool{
		"": true, "trusted_proxies_strict\n": false, "client_ip_headers CF-Connecting-IP\n": false, "client_ip_headers X-Real-IP x-forwarded-for\n": true,
	} {
		s := behindProxy(t, "", servers)
		b := s.browser()
		b.signIn(adminName, adminPass)
		a := b.as("auth.test", "GET", "/_auth/admin/settings")
		if a.StatusCode != 200 || strings.Contains(a.body, "trusted_proxies_strict") != warned {
			t.Errorf("%q: %d; warned on the page: %v", servers, a.StatusCode, !warned)
		}
		if warned {
			s.logs.waitFor(t, "add trusted_proxies_strict")
		}
	}
}
