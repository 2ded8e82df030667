package oidc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// Bounds of what a provider can make us wait for or read.
const (
	callTimeout = 10 * time.Second
	dialTimeout = 5 * time.Second
	maxBody     = 1 << 20
	maxHeader   = 64 << 10
)

// newClient makes the one client that speaks with a provider. It follows no redirects (a redirected code or client
// secret is a leaked one), uses no proxy from the environment (the check of addresses would see the proxy's), reads
// 1 MiB at most, and, unless insecure, speaks only TLS to public addresses: an issuer or an endpoint in metadata that
// leads into the operator's network is refused when it is dialled, after the name was resolved, so that DNS rebinding
// changes nothing.
func newClient(insecure bool, roots *x509.CertPool, seen func(date time.Time)) *http.Client {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	if !insecure {
		dialer.ControlContext = publicOnly
	}
	return &http.Client{
		Timeout:       callTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &datedTransport{seen: seen, next: &bounded{insecure: insecure, next: &http.Transport{
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
		}}},
	}
}

// bounded cuts bodies off and refuses what is not https.
type bounded struct {
	insecure bool
	next     http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (b *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && (!b.insecure || r.URL.Scheme != "http") {
		return nil, fmt.Errorf("%s addresses are not used; the provider has to offer https", Clean(r.URL.Scheme, 10))
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
	// After the transport has inflated it: a small answer may be a large one in disguise.
	resp.Body = &limited{ReadCloser: resp.Body, left: maxBody}
	return resp, nil
}

// CloseIdleConnections lets http.Client.CloseIdleConnections through.
func (b *bounded) CloseIdleConnections() { closeIdle(b.next) }

// limited returns an error, not a shorter body, when there is too much: half a document may read as a whole one.
type limited struct {
	io.ReadCloser
	left int
}

// Read implements io.Reader.
func (l *limited) Read(p []byte) (int, error) {
	if l.left < 0 {
		return 0, errTooLarge
	}
	n, err := l.ReadCloser.Read(p[:min(len(p), l.left+1)])
	if l.left -= n; l.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}

// shared is carrier-grade NAT and other space that is nobody's public address but that netip does not call private.
var shared = []netip.Prefix{
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"),
}

// publicOnly refuses connections to this machine and its networks (SSRF). It runs with the address that will be used.
func publicOnly(_ context.Context, _, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return errAddress
	}
	a := ap.Addr().Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return errAddress
	}
	for _, p := range shared {
		if p.Contains(a) {
			return errAddress
		}
	}
	return nil
}
