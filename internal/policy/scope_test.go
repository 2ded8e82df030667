package policy_test

import (
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/store"
)

func TestAScopeEndsAtLabelsSegmentsAndMethods(t *testing.T) {
	t.Parallel()
	token := store.Token{Hosts: []string{"app.test", "*.wild.test"}, Paths: []string{"/api/*", "/one"}, Methods: store.TokenRead}
	for _, c := range []struct {
		host, method, path string
		want               bool
	}{
		{"app.test", "GET", "/api/x", true},
		{"app.test:8443", "HEAD", "/one", true},
		{"a.wild.test", "PROPFIND", "/api/", true},
		{"APP.test", "REPORT", "/api/x", true},
		{"app.test", "OPTIONS", "/api/x", true},
		{"app.test", "POST", "/api/x", false},
		{"app.test", "get", "/api/x", false},
		{"app.test", "MKCOL", "/api/x", false},
		{"app.test", "GET", "/apiary", false},
		{"app.test", "GET", "/api", false},
		{"app.test", "GET", "/one/two", false},
		{"app.test", "GET", "/api/../one", false},
		{"app.test", "GET", "/api/%2e%2e/admin", false},
		{"app.test", "GET", "/api//x", false},
		{"app.test", "GET", "", false},
		{"app.test.", "GET", "/one", false},
		{"xapp.test", "GET", "/one", false},
		{"a.app.test", "GET", "/one", false},
		{"wild.test", "GET", "/one", false},
		{"a.b.wild.test", "GET", "/one", false},
		{".wild.test", "GET", "/one", false},
		{"", "GET", "/one", false},
	} {
		if got := policy.NewScope(&token).Allows(c.host, c.method, policy.NewTarget(c.path, c.path)); got != c.want {
			t.Errorf("%s %s%s: %v", c.method, c.host, c.path, got)
		}
	}
	all := policy.NewScope(&store.Token{Hosts: []string{"*"}, Methods: store.TokenAll})
	if !all.Allows("any.test", "DELETE", policy.NewTarget("/a//b", "/a//b")) {
		t.Error("a token without a scope is narrowed")
	}
	for name, broken := range map[string]store.Token{
		"no hosts": {Methods: store.TokenAll}, "no methods": {Hosts: []string{"*"}}, "odd methods": {Hosts: []string{"*"}, Methods: "write"},
		"odd path": {Hosts: []string{"*"}, Methods: store.TokenAll, Paths: []string{"x"}},
	} {
		if policy.NewScope(&broken).Allows("app.test", "GET", policy.NewTarget("/", "/")) {
			t.Errorf("%s: allowed", name)
		}
	}
	if (policy.Scope{}).Allows("app.test", "GET", policy.NewTarget("/", "/")) {
		t.Error("no scope allows")
	}
}

func TestHostsOfScopesAreNamesWithoutPorts(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"app.test": "app.test", "APP.Test": "app.test", "*.App.test": "*.app.test", "*": "*", "localhost": "localhost", "[::1]": "::1", "127.0.0.1": "127.0.0.1",
		"": "", "*.": "", "*.test": "*.test", "*.localhost": "*.localhost", "::1": "::1", "*.*.test": "", "a.*.test": "", "app.test:80": "", "https://app.test": "", "app.test/x": "", "*.[::1]": "", "**": "", " app.test": "",
	} {
		if got, ok := policy.ParseScopeHost(in); got != want || ok != (want != "") {
			t.Errorf("%q is read as %q, %v", in, got, ok)
		}
	}
}
