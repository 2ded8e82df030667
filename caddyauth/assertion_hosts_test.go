package caddyauth_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// An assertion for one app is no proof to another.
func TestAnAssertionIsForOneHost(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\tassertion\n}")
	port := s.addr[strings.IndexByte(s.addr, ':')+1:]
	hosts := []string{"app.test:" + port, "other.test:" + port}
	text := strings.Replace(s.caddyfile(), "http://"+s.addr+" {", "http://"+s.addr+", http://app.test:"+port+", http://other.test:"+port+" {", 1)
	text = strings.Replace(text, "{\n", "{\n\tservers {\n\t\ttrusted_proxies static 127.0.0.1/32\n\t}\n", 1)
	if err := s.reload(text); err != nil {
		t.Fatal(err)
	}
	b := s.browser()
	b.signIn(adminName, adminPass)
	token := b.cookie()
	texts := make(map[string]string) // by origin
	for range 2 {                    // the second time they are those of the first
		for _, host := range append(hosts, "APP.test:"+port) {
			for _, scheme := range []string{"http", "https", "wss"} {
				r := b.request("GET", "/x", nil, "X-Forwarded-Proto", scheme, "Cookie", "gatehouse="+token+"; __Host-gatehouse="+token)
				r.Host = host
				if a := s.browser().do(r); a.StatusCode != 200 {
					t.Fatalf("%s %s: %d %s", scheme, host, a.StatusCode, a.body)
				}
				origin := strings.Replace(scheme, "wss", "https", 1) + "://" + strings.ToLower(host)
				text := s.up.last().Header.Get(signedHeader)
				if texts[origin] != "" && texts[origin] != text {
					t.Errorf("%s: signed again", origin)
				}
				texts[origin] = text
			}
		}
	}
	for of, text := range texts {
		for origin := range texts {
			if _, err := s.verify(text, origin, origin); (err == nil) != (of == origin) {
				t.Errorf("an assertion for %s at %s: %v", of, origin, err)
			}
		}
	}
	if len(texts) != 4 {
		t.Errorf("assertions for %v", slices.Sorted(maps.Keys(texts)))
	}
}

// A site for every host signs for whichever host a client names: that is worth a warning, until an audience is given.
func TestASiteForEveryHostIsWarnedAboutWithoutAnAudience(t *testing.T) {
	const warning = "the assertion is for the host that a client asks for"
	for lines, warns := range map[string]bool{"assertion": true, "assertion X-Y {\n lifetime 1m\n}": true, "assertion {\n audience x\n}": false, "public /x": false} {
		s := startAdmin(t, "gatehouse {\n"+lines+"\n}")
		if strings.Contains(s.logs.String(), warning) {
			t.Errorf("%s: a site with a host is warned about", lines)
		}
		if err := s.reload(s.everyHost(s.caddyfile())); err != nil {
			t.Fatal(err)
		}
		b := s.browser()
		b.signIn(adminName, adminPass)
		b.reaches("/")
		s.logs.waitFor(t, "signed in") // what was logged before has arrived
		if got := strings.Contains(s.logs.String(), warning); got != warns {
			t.Errorf("%s: warned: %v\n%s", lines, got, s.logs)
		}
		strict := strings.Replace(s.everyHost(s.caddyfile()), "gatehouse {\n", "gatehouse {\n\t\tstrict\n", 1)
		if err := s.reload(strict); (err != nil) != warns {
			t.Errorf("%s: with strict: %v", lines, err)
		}
	}
}

// With a host that no address can have there is nothing to sign for: no proof, and not one for somebody else's site.
func TestWithoutAHostNothingIsAsserted(t *testing.T) {
	s := startAdmin(t, "gatehouse {\n\tassertion {\n\t\taudience x\n\t}\n}")
	if err := s.reload(s.everyHost(s.caddyfile())); err != nil {
		t.Fatal(err)
	}
	b := s.browser()
	b.signIn(adminName, adminPass)
	before := s.up.count()
	s.raw("GET /x HTTP/1.1\nHost: a_b..c\nCookie: gatehouse=" + b.cookie() + "\nConnection: close\n\n")
	if s.up.count() == before {
		t.Fatal("the app was not asked")
	}
	if got := s.up.last().Header; got.Get(signedHeader) != "" || got.Get("Remote-User") != adminName {
		t.Errorf("the app got %v", got)
	}
}
