package caddyauth_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// cookieApp is an app that sets our cookies, and one of its own; below /broken it fails.
func cookieApp(t *testing.T) (addr string) {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"gatehouse", "__Host-gatehouse", "gatehouse-device", "app", "=gatehouse"} {
			w.Header().Add("Set-Cookie", name+"=x; Path=/")
		}
		if strings.HasPrefix(r.URL.Path, "/broken") {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	t.Cleanup(app.Close)
	return strings.TrimPrefix(app.URL, "http://")
}

// An app beside the gate, on the same host, is no better than one behind it. What has no gate at all is left alone.
func TestAnAppBesideAGateSetsNoCookieOfOurs(t *testing.T) {
	addr := cookieApp(t)
	s := startAdmin(t, "gatehouse")
	text := strings.NewReplacer("APP", addr).Replace(`
handle /app/* {
	gatehouse
	reverse_proxy APP
}
encode gzip
handle /beside/* {
	reverse_proxy APP
}
handle_path /inner/* {
	route {
		reverse_proxy APP
	}
}
handle /intercepted/* {
	reverse_proxy APP {
		@any status 2xx
		handle_response @any {
			copy_response
		}
	}
}
handle /fails/* {
	error 418
}
handle {
	reverse_proxy APP
}
handle_errors {
	reverse_proxy APP
}`)
	s.site = text
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	want := []string{"app=x; Path=/"}
	b := s.browser()
	for _, person := range []string{"a stranger", "a signed-in person"} {
		for _, path := range []string{"/beside/x", "/inner/x", "/intercepted/x", "/fails/x", "/x", "/broken/x"} {
			if got := b.fetch(path).Header["Set-Cookie"]; !slices.Equal(got, want) {
				t.Errorf("%s gets at %s %q", person, path, got)
			}
		}
		b.signIn(adminName, adminPass)
	}
	b.reaches("/app/x")
	_, port, _ := strings.Cut(s.addr, ":")
	s.site = "gatehouse\nreverse_proxy " + addr + "\n}\nhttp://other.test:" + port + " {\n\tbind 127.0.0.1\n\treverse_proxy " + addr
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.addr+"/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "other.test"
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if len(a.Header["Set-Cookie"]) != 5 {
		t.Errorf("a host without a gate sends %q", a.Header["Set-Cookie"])
	}
}

// An app that could set our cookies could sign people in as somebody else, here and on the hosts that share them.
func TestAnAppBehindAGateSetsNoCookieOfOurs(t *testing.T) {
	s := startAdmin(t, "@some path /app/* /public/* /optional/*\nroute {\n\tgatehouse @some {\n\t\tpublic /public/*\n\t\toptional /optional/*\n\t}\n"+
		"\tgatehouse /later/*\n\treverse_proxy "+cookieApp(t)+"\n}")
	b := s.browser()
	set := func(path string) []string { return b.fetch(path).Header["Set-Cookie"] }
	want := []string{"app=x; Path=/"}
	for _, path := range []string{"/public/x", "/optional/x", "/elsewhere"} {
		if got := set(path); !slices.Equal(got, want) {
			t.Errorf("%s, to a stranger: %q", path, got)
		}
	}
	a := b.page("/later//x")
	if !strings.HasPrefix(a.Header.Get("Set-Cookie"), "gatehouse-ceremony=") {
		t.Errorf("a second gate's own cookie is %q: %d", a.Header["Set-Cookie"], a.StatusCode)
	}
	b.signIn(adminName, adminPass)
	for _, path := range []string{"/app/x", "/optional/x", "/later/x", "/elsewhere"} {
		if got := set(path); !slices.Equal(got, want) {
			t.Errorf("%s, to a signed-in person: %q", path, got)
		}
	}
}
