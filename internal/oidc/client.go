package oidc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// Limits on the time and the bytes that a provider can cost us.
const (
	callTimeout = 10 * time.Second
	dialTimeout = 5 * time.Second
	maxBody     = 1 << 20
	maxKeysBody = 256 << 10 // of an issuer that nobody signs in with
	maxHeader   = 64 << 10
)

// newClient returns the HTTP client for requests to one provider. It follows no redirects (a redirected code or client
// secret is a leaked one), uses no proxy from the environment (the address check would see the proxy's address), and
// reads at most limit bytes of a response. Unless insecure, it connects only over TLS and only to public addresses
// (SSRF): an issuer or a metadata endpoint that points into the operator's network is refused when it is dialed, after
// the name was resolved, so that DNS rebinding does not help.
func newClient(insecure bool, roots *x509.CertPool, limit int, onDate func(date time.Time)) *http.Client {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	if !insecure {
		dialer.ControlContext = publicOnly
	}
	bounded := &boundedTransport{insecure: insecure, limit: limit, next: &http.Transport{
		Proxy:                  nil,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:    dialTimeout,
		ResponseHeaderTimeout:  callTimeout,
		MaxResponseHeaderBytes: maxHeader,
		MaxIdleConnsPerHost:    4,
		MaxConnsPerHost:        32,
		IdleConnTimeout:        90 * time.Second,
		ForceAttemptHTTP2:      true,
	}}
	return &http.Client{
		Timeout:       callTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &datedTransport{onDate: onDate, next: bounded},
	}
}

// boundedTransport limits response bodies and refuses schemes other than https.
type boundedTransport struct {
	insecure bool
	limit    int
	next     http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (b *boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && (!b.insecure || r.URL.Scheme != "http") {
		return nil, errScheme
	}
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", "Gatehouse")
	if r.Header.Get("Accept") == "" {
		r.Header.Set("Accept", "application/json")
	}
	resp, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	// The limit applies after decompression: a small response may be a decompression bomb.
	resp.Body = &limitedBody{ReadCloser: resp.Body, remaining: b.limit}
	return resp, nil
}

// CloseIdleConnections is called by http.Client.CloseIdleConnections.
func (b *boundedTransport) CloseIdleConnections() { closeIdle(b.next) }

// limitedBody returns an error, not a truncated body, beyond the limit: half a document may parse as a whole one.
type limitedBody struct {
	io.ReadCloser
	remaining int
}

// Read implements io.Reader.
func (l *limitedBody) Read(p []byte) (int, error) {
	if l.remaining < 0 {
		return 0, errTooLarge
	}
	n, err := l.ReadCloser.Read(p[:min(len(p), l.remaining+1)])
	if l.remaining -= n; l.remaining < 0 {
		return 0, errTooLarge
	}
	return n, err
}

// reservedPrefixes are special-purpose networks, such as carrier-grade NAT, that netip does not report as private.
var reservedPrefixes = []netip.Prefix{
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"),
}

// publicOnly refuses connections to this machine and its networks (SSRF). It is called with the resolved address.
func publicOnly(_ context.Context, _, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return errPrivateAddress
	}
	a := ap.Addr().Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return errPrivateAddress
	}
	for _, p := range reservedPrefixes {
		if p.Contains(a) {
			return errPrivateAddress
		}
	}
	return nil
}
