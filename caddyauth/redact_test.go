package caddyauth_test

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

// canary is a token of ours by its form.
const canary = "c4naryAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA_-"

// logged runs a site that logs everything there is to log, in every format, and returns a function that waits for a
// text in all of the logs and shows them.
func logged(t *testing.T, site string, opts ...option) (*caddyServer, func(wait string) string) {
	t.Helper()
	s := startAdmin(t, "log\n"+site, opts...)
	var files []string
	var blocks strings.Builder
	for name, format := range map[string]string{
		"console": "console", "json": "json", "filter": "filter {\n\t\t\twrap json\n\t\t\tfields {\n\t\t\t\trequest>headers>User-Agent delete\n\t\t\t}\n\t\t}", "append": "append {\n\t\t\twrap json\n\t\t\tx y\n\t\t}",
	} {
		file := filepath.Join(s.dir, name+".log")
		files = append(files, file)
		fmt.Fprintf(&blocks, "\tlog %s {\n\t\toutput file %s\n\t\tlevel DEBUG\n\t\tformat %s\n\t}\n", name, file, format)
	}
	text := strings.Replace(s.caddyfile(), "\tgatehouse {\n", blocks.String()+"\tgatehouse {\n", 1)
	if err := loadCaddyfile(text); err != nil {
		t.Fatal(err)
	}
	s.waitForOldSocket()
	return s, func(wait string) string {
		t.Helper()
		all := ""
		eventually(t, "every log to tell of "+wait, func() bool {
			all = s.logs.String()
			for _, file := range files {
				b, err := os.ReadFile(file)
				if err != nil || !strings.Contains(string(b), wait) {
					return false
				}
				all += string(b)
			}
			return strings.Contains(s.logs.String(), wait)
		})
		return all
	}
}

// secretTargets are addresses with a secret of ours, in different spellings.
var secretTargets = []string{
	"/_auth/link/" + canary, "/_auth//link/" + canary, "//_auth/link/" + canary, "/_auth/%6cink/" + canary, "/_AUTH/LINK/" + canary, "/x/../_auth/link/" + canary,
	"/_auth/./link/" + canary, "/%2e/_auth/link/" + canary, "/_auth/%2e%2e/_auth/link/" + canary, "/_auth%2flink%2f" + canary, "/_auth/link%2F" + canary, "/_auth/link;x/" + canary,
	`/_auth\link\` + canary, "/_auth/link/" + canary + "/", "/_auth/link/" + canary + "junk", "/_auth/link/" + canary + "?x=1", "/_auth/link/" + canary + "%20", "/_auth/link/" + canary + ".",
	"http://HOST/_auth/link/" + canary, "http://HOST//_auth/link/" + canary, "/_auth/lnik/" + canary, "/_auth/login?rt=/_auth/link/" + canary, "/_auth/login?rt=%2F_auth%2Flink%2F" + canary,
	"/_auth/oidc/test/callback?code=c4nary&state=c4nary", "/_auth/oidc/test/callback/?code=c4nary", "/_auth/oidc/test//callback?code=c4nary", "/_auth/oidc/test/%63allback?state=c4nary",
	"//_auth/oidc/test/callback?code=c4nary", "/_auth/oidc/TEST/Callback?code=c4nary", "/_auth/oidc/other/callback?code=c4nary", "/_auth/logout?id_token_hint=c4nary", "/_auth/?code=c4nary",
	"/_auth/oidc/test/frontchannel?iss=x&sid=c4nary", "http://HOST/_auth/oidc/test/callback?code=c4nary",
}

// A one-time token, a code or a state is in no log, of whatever kind and format, in whatever way its address is
// spelled.
func TestNoSpellingOfASecretAddressReachesALog(t *testing.T) {
	s, logs := logged(t, "rewrite /old/* /new\ngatehouse")
	b := s.browser()
	b.signIn(adminName, adminPass)
	n := 0
	for _, target := range secretTargets {
		for _, cookie := range []string{"", "Cookie: gatehouse=" + b.cookie() + "\n"} {
			for _, method := range []string{"GET", "POST"} {
				n++
				s.raw(fmt.Sprintf("%s %s HTTP/1.1\nHost: %s\nX-Number: no-%d\nAccept: text/html\n%sContent-Length: 0\nConnection: close\n\n", method, strings.ReplaceAll(target, "HOST", s.addr), s.addr, n, cookie))
			}
		}
	}
	for _, header := range []string{"Referer", "referer", "HX-Current-URL", "X-Original-URI", "X-Forwarded-Uri"} {
		for _, target := range secretTargets {
			for _, path := range []string{"/app", "/_auth/login"} {
				n++
				s.raw(fmt.Sprintf("GET %s HTTP/1.1\nHost: %s\nX-Number: no-%d\n%s: http://%s%s\nCookie: gatehouse=%s\nConnection: close\n\n", path, s.addr, n, header, s.addr, strings.ReplaceAll(target, "http://HOST", ""), b.cookie()))
			}
		}
	}
	b.fetch("/last")
	all := logs("/last")
	for i := strings.Index(all, "c4nary"); i >= 0; {
		t.Fatalf("a log has it: %s", all[strings.LastIndexByte(all[:i], '\n')+1:][:400])
	}
	access := s.logs.String()
	for i := 1; i <= n; i++ {
		if c := strings.Count(access, fmt.Sprintf(`"no-%d"`, i)); c < 1 {
			t.Fatalf("request %d is not in the access log", i)
		}
	}
	for _, seen := range s.up.all() {
		if strings.Contains(fmt.Sprint(seen), "c4nary") {
			t.Errorf("the app was told: %v", seen)
		}
	}
}

// all returns every request that reached the app.
func (u *upstream) all() []seen {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]seen(nil), u.seen...)
}

// What is hidden from logs still works: the link leads on, from an absolute address as well, and the log has one line.
func TestARedactedAddressWorksAndIsLoggedOnce(t *testing.T) {
	s, logs := logged(t, "gatehouse")
	root := s.browser()
	root.signIn(adminName, adminPass)
	link := root.api("POST", "users", fields{"username": "bob"}).json(t)["link"].(string)
	link = link[strings.Index(link, "/_auth/link/"):]
	if a := s.raw("GET http://" + s.addr + link + " HTTP/1.1\nHost: " + s.addr + "\nConnection: close\n\n"); !strings.HasPrefix(a, "303") {
		t.Errorf("an absolute address of a link: %.40q", a)
	}
	bob := s.browser()
	a := bob.page(link)
	if a.StatusCode != 303 {
		t.Fatalf("the link answers %d\n%s", a.StatusCode, a.body)
	}
	if a := bob.post(a.Header.Get("Location"), "password", otherPass); a.StatusCode != 303 {
		t.Errorf("setting the password: %d\n%s", a.StatusCode, a.body)
	}
	bob.fetch("/last")
	if all := logs("/last"); strings.Contains(all, link[len("/_auth/link/"):]) || !strings.Contains(all, "/_auth/link/REDACTED") {
		t.Error("the logs have the token, or nothing of the request")
	}
	if n := strings.Count(s.logs.String(), `"uri":"/_auth/link/REDACTED"`); n != 1 {
		t.Errorf("one request has %d lines", n)
	}
	for _, line := range strings.Split(s.logs.String(), "\n") {
		if strings.Contains(line, "/_auth/link/REDACTED") && (!strings.Contains(line, "http.log.access") || !strings.Contains(line, `"status":303`)) {
			t.Errorf("a line of the access log: %s", line)
		}
	}
}

// On the way to a provider and back, state, nonce, code and the hint of an ID token are in addresses: of requests, and
// of the redirects to them. None is logged.
func TestTheRedirectsOfAProviderSignInAreNotLogged(t *testing.T) {
	idp := provider.New(t)
	setenv(t, "TEST_CLIENT_SECRET", idp.Client.Secret)
	s, logs := logged(t, "gatehouse", withGlobal(fmt.Sprintf("oidc test {\n\tissuer %s\n\tclient_id %s\n\tclient_secret {env.TEST_CLIENT_SECRET}\n\tinsecure_http\n}", idp.Issuer, idp.Client.ID)))
	b := s.browser()
	started := b.page("/_auth/oidc/test/start?rt=%2Fdeep")
	at, err := url.Parse(started.Header.Get("Location"))
	if err != nil || at.Query().Get("state") == "" {
		t.Fatalf("%d %s", started.StatusCode, started.Header.Get("Location"))
	}
	if a := b.follow(started); a.StatusCode != 200 || a.Request.URL.Path != "/deep" {
		t.Fatalf("%d at %s\n%s", a.StatusCode, a.Request.URL, a.body)
	}
	out := b.post("/_auth/logout", "everywhere", "1")
	b.fetch("/last")
	all := logs("/last")
	secrets := map[string]string{"state": at.Query().Get("state"), "nonce": at.Query().Get("nonce"), "ID token": idp.LastIDToken()}
	if to, err := url.Parse(out.Header.Get("Location")); err == nil && to.Host != "" {
		secrets["hint"] = to.Query().Get("id_token_hint")
	}
	for name, secret := range secrets {
		if secret != "" && strings.Contains(all, secret) {
			t.Errorf("a log has the %s", name)
		}
	}
	if !strings.Contains(all, "/_auth/oidc/test/callback?REDACTED") || !strings.Contains(all, at.Host+at.Path+`"`) {
		t.Error("the logs do not tell of the way at all")
	}
}

// A header that is a secret as a whole is in no log, and reaches the gate as it came.
func TestAHeaderThatIsASecretIsHiddenFromLogs(t *testing.T) {
	s, logs := logged(t, "gatehouse {\n\tpublic /open\n}", withGlobal("tokens"))
	token := s.addToken(adminName)
	b := s.browser()
	for _, header := range []http.Header{
		{"Gatehouse-Token": {token}},
		{"Authorization": {"Bearer " + token}},
		{"Authorization": {token}},
		{"Authorization": {"token " + token}},
		{"Authorization": {basicAuth("u", token)}},
		{"Proxy-Authorization": {"Bearer " + token}},
		{"Gatehouse!token": {token}},
	} {
		r := b.request("GET", "/open", nil)
		r.Header = header
		b.do(r)
		for name, values := range s.up.last().Header {
			if strings.Contains(strings.Join(values, " "), "gatehouse_pat_") {
				t.Errorf("the app sees %s", name)
			}
		}
	}
	b.fetch("/last")
	if log := logs("/last"); strings.Contains(log, "gatehouse_pat_") || strings.Contains(log, basicAuth("u", token)) {
		for line := range strings.Lines(log) {
			if strings.Contains(line, "gatehouse_pat_") || strings.Contains(line, basicAuth("u", token)) {
				t.Errorf("a log has it: %s", line)
			}
		}
	}
}

// While another process has locked the store, a start waits: the gate is closed at once on every address, spends no
// token and logs none.
func TestWhileTheStartHangsTheGateIsClosedAndLogsNoSecret(t *testing.T) {
	s := startAdmin(t, "log\ngatehouse {\n\tpublic /open\n}")
	root := s.browser()
	root.signIn(adminName, adminPass)
	link := root.api("POST", "users", fields{"username": "bob"}).json(t)["link"].(string)
	link = link[strings.Index(link, "/_auth/link/"):]
	for try := 0; ; try++ {
		if try == 400 {
			t.Fatal("Caddy never opened its sockets before the store")
		}
		if whileStoreHangs(t, s, func() { checkClosedWhileHanging(t, s, link) }) {
			break
		}
	}
	// A start on PostgreSQL does not wait for a store that hangs: the gate opens a little later.
	status := 0
	eventually(t, "the gate opens", func() bool {
		status = s.browser().page(link).StatusCode
		return status != http.StatusServiceUnavailable
	})
	if status != http.StatusSeeOther {
		t.Errorf("afterwards the link answers %d", status)
	}
	s.browser().fetch("/last")
	if log := s.logs.waitFor(t, "/last"); strings.Contains(log, link[len("/_auth/link/"):]) || !strings.Contains(log, "/_auth/link/REDACTED") {
		t.Error("the log has the token, or nothing of the request")
	}
}

// whileStoreHangs starts Caddy anew while the store is locked, and runs during once it responds. It reports whether it
// did: Caddy starts its apps as a map yields them, the app before the servers seven times of eight; they wait then for
// the store, too, and no socket is open.
func whileStoreHangs(t *testing.T, s *caddyServer, during func()) bool {
	t.Helper()
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	// The servers of before may take connections for a moment after Stop has returned.
	eventually(t, "the old sockets to close", func() bool { return !accepts(s.addr) })
	release := s.place.Lock(t)
	before := strings.Count(s.logs.String(), `"msg":"opening the store"`)
	started := make(chan error, 1)
	go func() {
		started <- loadCaddyfile(strings.Replace(s.caddyfile(), "\tgatehouse {\n\t\tpublic", "\tlog\n\tgatehouse {\n\t\tpublic", 1))
	}()
	up := false
	eventually(t, "Caddy to open its sockets or the store", func() bool {
		opens := strings.Count(s.logs.String(), `"msg":"opening the store"`) > before // looked at before the socket
		up = accepts(s.addr)
		return up || opens
	})
	if up {
		during()
	}
	release()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	return up
}

func accepts(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

func checkClosedWhileHanging(t *testing.T, s *caddyServer, link string) {
	t.Helper()
	before := s.up.count()
	var all sync.WaitGroup
	for _, target := range []string{link, "/" + link, "/_auth/" + link[len("/_auth"):], "/app", "/open", "/_auth/login", "/_auth/oidc/x/callback?code=c4nary", "http://" + s.addr + "?y", "*"} {
		all.Go(func() {
			started := time.Now()
			a := s.raw("GET " + target + " HTTP/1.1\nHost: " + s.addr + "\nAccept: text/html\nConnection: close\n\n")
			if !strings.HasPrefix(a, "503") || time.Since(started) > 8*time.Second {
				t.Errorf("%s is answered %.60q after %v", target, a, time.Since(started))
			}
		})
	}
	all.Wait()
	if s.up.count() != before {
		t.Error("the app was asked")
	}
}

// Handlers before the gate, error routes and debugging proxies see and log no more of a secret than the gate's own log.
func TestWhatRunsBeforeTheGateSeesNoSecret(t *testing.T) {
	for name, site := range map[string]string{
		"an error before the gate":   "route {\nerror /_auth/* gone 404\nerror //_auth/* gone 500\ngatehouse\n}\nhandle_errors {\nrespond \"{err.status_code} {http.request.orig_uri} {header.Referer}\"\n}",
		"a server error":             "route {\nerror /_auth/* broken 500\ngatehouse\n}",
		"an answer before the gate":  "route {\nrespond /_auth/* \"{http.request.uri}\"\ngatehouse\n}",
		"a rewrite before the gate":  "try_files {path} /index.html\ngatehouse",
		"a sibling without the gate": "handle /_auth/link/* {\nreverse_proxy UPSTREAM\n}\nhandle {\ngatehouse\n}",
		"an app that is not there":   "route {\nreverse_proxy /_auth/* 127.0.0.1:1\ngatehouse\n}",
	} {
		t.Run(name, func(t *testing.T) {
			s, logs := logged(t, site)
			for _, target := range secretTargets {
				for _, version := range []string{"1.0", "1.1"} {
					a := s.raw(fmt.Sprintf("GET %s HTTP/%s\nHost: %s\nReferer: http://%s/_auth/link/%s\nConnection: close\n\n", strings.ReplaceAll(target, "HOST", s.addr), version, s.addr, s.addr, canary))
					if strings.Contains(a, "c4nary") {
						t.Errorf("%s: another handler answers %.200q", target, a)
					}
				}
			}
			s.browser().fetch("/last")
			all := logs("/last")
			if i := strings.Index(all, "c4nary"); i >= 0 {
				t.Fatalf("a log has it: %.600s", all[strings.LastIndexByte(all[:i], '\n')+1:])
			}
			for _, seen := range s.up.all() {
				if strings.Contains(fmt.Sprint(seen), "c4nary") {
					t.Errorf("the app was told: %v", seen)
				}
			}
		})
	}
}
