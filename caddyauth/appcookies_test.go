package caddyauth_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// An app that could set our cookies could sign people in as somebody else, here and on the hosts that share them.
func TestAnAppBehindAGateSetsNoCookieOfOurs(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for _, name := range []string{"gatehouse", "__Host-gatehouse", "gatehouse-device", "app", "=gatehouse"} {
			w.Header().Add("Set-Cookie", name+"=x; Path=/")
		}
	}))
	t.Cleanup(app.Close)
	s := startAdmin(t, "@some path /app/* /public/* /optional/*\nroute {\n\tgatehouse @some {\n\t\tpublic /public/*\n\t\toptional /optional/*\n\t}\n"+
		"\tgatehouse /later/*\n\treverse_proxy "+strings.TrimPrefix(app.URL, "http://")+"\n}")
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
