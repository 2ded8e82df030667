package ui_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
)

// What comes from a provider is a scheme and a host in a content policy, or nothing.
func TestNothingButAnOriginGetsIntoAContentPolicy(t *testing.T) {
	t.Parallel()
	good := "https://id.test:8443"
	for _, hostile := range []string{
		"", "*", "https:", "https://*", "https://*.test", "https://a.test;script-src *", "https://a.test,default-src *", "https://a.test https://b.test", "https://a.test\nx", "'self'",
		"'unsafe-inline'", "https://'self'", "data:", "blob:https://a.test", "https://a.test/path", "https://a.test?x", "https://u@a.test", "https://a.test:*", "javascript://a.test",
	} {
		if got := ui.Sources([]string{hostile}); got != "'none'" {
			t.Errorf("%q gives %q", hostile, got)
		}
		if got := ui.Sources([]string{hostile, good}); got != good {
			t.Errorf("%q beside a good one gives %q", hostile, got)
		}
	}
	if got := ui.Sources([]string{"HTTPS://A.test:443", "http://[::1]:80"}); got != "https://a.test http://[::1]" || strings.Contains(got, ";") {
		t.Errorf("%q", got)
	}
}
