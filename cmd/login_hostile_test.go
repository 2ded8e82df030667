package cmd

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// hostile is text that moves a cursor, colors, reverses, breaks lines, or is no UTF-8.
const hostile = "a\x1b[31m\u009b31m\u202e\u2066\u2028\x07\r\nCode: BCDF-BCDF\u200b\xff\x9b2J"

// checkTerminal fails the test if a text can do anything to a terminal.
func checkTerminal(t *testing.T, name, text string) {
	t.Helper()
	for i, r := range text {
		if r != '\n' && isUnsafe(r) || r == '\ufffd' && !strings.HasPrefix(text[i:], "\ufffd") {
			t.Errorf("%s: %q is printed in %q", name, r, text)
		}
	}
}

// Whatever an error of a verb quotes, the terminal gets none of its control characters.
func TestNoErrorOfAVerbReachesTheTerminalRaw(t *testing.T) {
	t.Parallel()
	cause := errors.New(hostile)
	for name, fail := range map[string]func(c *call) error{
		"an error":        func(*call) error { return cause },
		"a wrapped one":   func(*call) error { return fmt.Errorf("asking: %w", cause) },
		"several":         func(*call) error { return errors.Join(cause, errors.New("next")) },
		"beside a note":   func(c *call) error { c.notef("note: %s", hostile); return cause },
		"beside a result": func(c *call) error { _ = c.printf("%s", hostile); return cause },
		"of a certificate": func(*call) error {
			return x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{hostile}}, Host: "x"}
		},
	} {
		var out strings.Builder
		cmd := verb("x", "x", "x", cobra.NoArgs, fail)
		cmd.SetArgs([]string{})
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		err := cmd.ExecuteContext(t.Context()) // cobra prints it
		checkTerminal(t, name, out.String())
		if err == nil || !strings.Contains(out.String(), "Code: BCDF-BCDF") {
			t.Errorf("%s: %v, %q", name, err, out.String())
		}
		if name != "of a certificate" && !errors.Is(err, cause) {
			t.Errorf("%s: the cause is lost", name)
		}
	}
}

// hostileTLS returns the address of a server whose certificate has those names.
func hostileTLS(t *testing.T, names ...string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: strings.ToValidUTF8(hostile, "")},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	var list []asn1.RawValue // by hand, since crypto/x509 makes none with bytes beyond ASCII
	for _, name := range names {
		list = append(list, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 2, Bytes: []byte(name)})
	}
	san, err := asn1.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: san}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.NotFoundHandler(), ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return "https://" + l.Addr().String()
}

// rawSite returns the address of a server that responds with those bytes.
func rawSite(t *testing.T, response string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096))
			_, _ = c.Write([]byte(response))
			_ = c.Close()
		}
	}()
	return "http://" + l.Addr().String()
}

// Nothing that a peer says, in its certificate, in broken HTTP or in addresses, reaches the terminal raw or as a line.
func TestLoginPrintsNothingThatAPeerSaysRaw(t *testing.T) {
	escaped := url.QueryEscape(hostile)
	for name, at := range map[string]string{
		"names of a certificate": hostileTLS(t, "a\x1b[31m.test\nCode: BCDF-BCDF", "b.test"),
		"names beyond ASCII":     hostileTLS(t, "b\x9b31m.test", "\u202ec.test"),
		"a status line":          rawSite(t, hostile+"\r\n\r\n"),
		"a version":              rawSite(t, "HTTP/"+hostile+" 200 OK\r\n\r\n"),
		"a status":               rawSite(t, "HTTP/1.1 "+hostile+"\r\n\r\n"),
		"a header":               rawSite(t, "HTTP/1.1 200 OK\r\n\x1b[31m\u202e\r\n\r\n"),
		"a length":               rawSite(t, "HTTP/1.1 200 OK\r\nContent-Length: \x1b[31m\u202e\r\n\r\n"),
		"an encoding":            rawSite(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: \u009b31m\u202e\r\n\r\n"),
		"a redirect":             rawSite(t, "HTTP/1.1 307 Go\r\nLocation: \u009b31m\u202e\xff\r\nContent-Length: 0\r\n\r\n"),
	} {
		stdout, stderr, err := runLogin(t.Context(), t, "", at)
		if err == nil {
			t.Errorf("%s: no error, %q", name, stdout)
			continue
		}
		checkTerminal(t, name, stdout+stderr+err.Error())
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: more than a line: %q", name, err)
		}
	}
	s := newSite(t)
	page := s.URL + "/_auth/device"
	for name, c := range map[string]struct {
		page, complete string
		shown          bool
	}{
		"a query":                 {page, page + "?user_code=" + hostile, false},
		"C1 and bidi in a query":  {page, page + "?x=\u009b31m\u202eEVIL\u2066\u009d0;title\u009c", true},
		"bytes in a query":        {page, page + "?x=\x9b31m", true},
		"an escaped query":        {page, page + "?x=" + escaped, true},
		"a fragment":              {page + "#\u009b\u202e", page + "#\u009b\u202e", true},
		"another code":            {page, page + "?user_code=BCDF-BCDF", true},
		"a path":                  {s.URL + "/\u009b31m", page, false},
		"another page":            {page, s.URL + "/evil/app?user_code=WDJB-MJHT", false},
		"a page below":            {page + "/x", page, false},
		"a page by dots":          {page + "/../../evil", page, false},
		"a host in other letters": {strings.Replace(page, "http", "HTTP", 1), page, true},
	} {
		s.says(say(200, map[string]any{
			"device_code": "x", "user_code": "WDJB-MJHT", "verification_uri": c.page, "verification_uri_complete": c.complete, "expires_in": 600, "interval": 1,
		}), oauth(400, "access_denied"))
		_, stderr, err := runLogin(t.Context(), t, "", s.URL)
		checkTerminal(t, name, stderr+err.Error())
		if shown := strings.Contains(stderr, "\n  "+page+"?user_code=WDJB-MJHT\n"); shown != c.shown || strings.Contains(stderr, "EVIL") || strings.Contains(stderr, "BCDF") {
			t.Errorf("%s: shown %v: %q, %v", name, shown, stderr, err)
		}
	}
}

// http is for this machine by its address, not by its name, and no proxy is asked.
func TestLoginWithoutTLSConnectsToThisMachineOnly(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("a proxy was asked for %s", r.URL) }))
	t.Cleanup(proxy.Close)
	u := &url.URL{Scheme: "http", Host: "app.localhost:9", Path: "/_auth"}
	tr := loginTransport(u)
	if tr.Proxy != nil {
		t.Error("http goes by a proxy")
	}
	for address, want := range map[string]bool{
		"127.0.0.1:80": true, "127.8.8.8:80": true, "[::1]:80": true, "[::ffff:127.0.0.1]:80": true,
		"192.0.2.1:80": false, "10.0.0.1:80": false, "0.0.0.0:80": false, "[::]:80": false, "[fe80::1%lo]:80": false, "[::ffff:192.0.2.1]:80": false, "169.254.169.254:80": false, "x": false, "": false,
	} {
		if err := onlyThisMachine("tcp", address, nil); (err == nil) != want {
			t.Errorf("%q: %v", address, err)
		}
	}
	for address, want := range map[string]string{
		"app.localhost:80": "localhost:80", "APP.LOCALHOST:80": "localhost:80", "localhost:80": "localhost:80",
		"localhost.example.com:80": "localhost.example.com:80", "[::1]:80": "[::1]:80", "x": "x",
	} {
		if got := thisMachine(address); got != want {
			t.Errorf("%q is connected to as %q", address, got)
		}
	}
	// A name of this machine that a resolver sends elsewhere.
	d := newDeviceLogin(u)
	dial := d.transport.DialContext
	d.transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dial(ctx, network, "192.0.2.1:9")
	}
	if _, err := d.begin(t.Context(), url.Values{"client_id": {"x"}}); err == nil || !strings.Contains(err.Error(), "is not this machine") {
		t.Errorf("another machine: %v", err)
	}
	if loginTransport(&url.URL{Scheme: "https", Host: "app.test"}).Proxy == nil {
		t.Error("https goes by no proxy")
	}
}
