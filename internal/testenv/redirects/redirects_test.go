package redirects

import "testing"

// The resolver of the tests is itself held against known results, or the oracle would prove nothing.
func TestTheOracleReadsAddressesAsBrowsersDo(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"//evil.example/": "https://evil.example", `/\evil.example`: "https://evil.example", "/\t/evil.example": "https://evil.example",
		"https:evil.example": Origin, "https:/evil.example": Origin, "https:///evil.example": "https://evil.example",
		"http:evil.example": "http://evil.example", "javascript:alert(1)": "javascript:", " //evil.example": "https://evil.example",
		"https://a@evil.example/": "https://evil.example", "/ok": Origin, "?x": Origin, "https://APP.EXAMPLE.TEST:443/": Origin,
	} {
		got, err := Resolve(in)
		if err != nil || got.Origin != want {
			t.Errorf("%q leads to %q (%v), want %q", in, got.Origin, err, want)
		}
	}
	if got := collapse("/a/%2e%2E/b/./c"); got != "/b/c" {
		t.Errorf("collapse: %q", got)
	}
}
