package reqctx_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
)

// An address of ours leads to this site: with its host, or as a path where the host is not known.
func TestAnAddressOfOursLeadsToThisSite(t *testing.T) {
	known, unknown := &reqctx.Request{Secure: true, Host: "app.test"}, &reqctx.Request{}
	for _, path := range []string{"/x?y=1", "//evil.example/x", `/\evil.example/x`, `/\/evil.example`, "///x", "/", ""} {
		if got := known.Absolute(path); got != "https://app.test"+path {
			t.Errorf("%q on a known host: %q", path, got)
		}
		got := unknown.Absolute(path)
		if !strings.HasPrefix(got, "/") || len(got) > 1 && strings.ContainsRune(`/\`, rune(got[1])) {
			t.Errorf("%q on an unknown host: %q", path, got)
		}
	}
}
