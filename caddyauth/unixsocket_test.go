package caddyauth_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// On a unix socket without trusted_proxies_unix nobody's address is known, which a warning says at load, and the site
// works; with it there is none.
func TestASiteOnAUnixSocketWarnsThatNoAddressIsKnown(t *testing.T) {
	dir, err := os.MkdirTemp("", "ghsock") // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	s := startAdmin(t, "gatehouse")
	text := strings.Replace(s.caddyfile(), "bind 127.0.0.1", "bind unix/"+socket, 1)
	trusted := strings.Replace(text, "\tgatehouse {", "\tservers {\n\t\ttrusted_proxies_unix\n\t}\n\tgatehouse {", 1)
	strict := func(text string) string {
		return strings.Replace(text, "\tgatehouse {", "\tgatehouse {\n\t\tstrict", 1)
	}
	if err := s.reload(strict(text)); err == nil || !strings.Contains(err.Error(), "trusted_proxies_unix") || !strings.Contains(err.Error(), socket) {
		t.Errorf("with strict: %v", err)
	}
	if err := s.reload(strict(trusted)); err != nil {
		t.Errorf("with a proxy that is trusted: %v", err)
	}
	if err := s.reload(text); err != nil {
		t.Fatal(err)
	}
	s.logs.waitFor(t, "on a unix socket nobody's address is known")
	b := s.browser()
	b.http.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	b.signIn(adminName, adminPass)
	if !b.reaches("/x") {
		t.Error("the app is not reached")
	}
	b.fetch("/x", "X-Forwarded-Proto", "https")
	s.logs.waitFor(t, "servers { trusted_proxies_unix }")
}
