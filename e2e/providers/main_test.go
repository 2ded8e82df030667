//go:build providers

package providers

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/browser"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/certificate"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/harness"
)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m))
}

// password is that of all people at the providers.
const password = "a password of somebody there"

// installed returns the path of what scripts/install-providers has installed whose name matches.
func installed(t testing.TB, pattern string) string {
	t.Helper()
	top := harness.Installed(t, "GATEHOUSE_PROVIDERS", "gatehouse-providers", "scripts/install-providers")
	found, err := filepath.Glob(filepath.Join(top, pattern))
	if err != nil || len(found) == 0 {
		t.Fatalf("there is no %s in %s: run scripts/install-providers", pattern, top)
	}
	return found[len(found)-1]
}

// credentials are the certificate of this process as files, and a client that trusts it.
type credentials struct {
	cert, key string
	client    *http.Client
}

func newCredentials(t testing.TB) credentials {
	t.Helper()
	cert, key, err := certificate.Write(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return credentials{cert, key, &http.Client{
		Timeout:       time.Minute,
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// app shows what the gate says of the person.
const app = `respond "app: {http.request.orig_uri} as {http.request.header.Remote-User} ` +
	`({http.request.header.Remote-Groups}) <{http.request.header.Remote-Email}> {http.request.header.Remote-Role}." 200`

// behind runs a gate with a block of a page of docs/providers. Only the issuer's address is another than there; more are
// lines of the provider's block, which also get what a provider in one's own network needs.
func behind(t *testing.T, page string, block int, issuer string, cred credentials, more ...string) *gate.Gate {
	t.Helper()
	global := strings.TrimSpace(harness.Blocks(t, "caddyfile", "providers", page+".md")[block])
	global, isGlobal := strings.CutPrefix(global, "{\n\tgatehouse {\n")
	global, ends := strings.CutSuffix(global, "\n\t\t}\n\t}\n}")
	before, after, hasIssuer := strings.Cut(global, "issuer https://")
	if !isGlobal || !ends || !hasIssuer {
		t.Fatalf("block %d of %s.md is no global block with a provider alone", block, page)
	}
	_, after, _ = strings.Cut(after, "\n")
	if slices.Contains(more, "auth_method private_key_jwt") { // in place of the secret
		after = strings.Replace(after, "client_secret {env.OIDC_CLIENT_SECRET}", "", 1)
	}
	more = append(more, "insecure_http", "ca_file "+cred.cert, "}")
	return harness.Start(t, gate.Options{
		HTTPS: true, App: app,
		Global: before + "issuer " + issuer + "\n" + after + "\n" + strings.Join(more, "\n"),
		Env:    []string{"OIDC_CLIENT_ID=gatehouse", "OIDC_CLIENT_SECRET=" + clientSecret},
	})
}

// clientSecret has what has to be encoded in a form and in a header.
const clientSecret = "a:secret of the+test%that/is&long=enough"

// address returns the address with this end that a page of docs/providers says to register, for a gate.
func address(t *testing.T, page, end string, g *gate.Gate) string {
	t.Helper()
	const site = "https://app.example.com"
	for _, word := range strings.FieldsFunc(harness.Page(t, "providers", page+".md"), func(r rune) bool {
		return r == '`' || r == '\n' || r == ' '
	}) {
		if strings.HasPrefix(word, site) && strings.HasSuffix(word, end) {
			return g.URL + strings.TrimPrefix(word, site)
		}
	}
	t.Fatalf("%s.md names no address that ends in %s", page, end)
	return ""
}

// get returns what is at an address.
func get(c *http.Client, address string) (string, error) {
	res, err := c.Get(address)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return string(body), err
}

// visit is a browser of one person.
type visit struct {
	*browser.Page
	t *testing.T
	g *gate.Gate
}

// newVisit opens a browser. What the provider's own pages log is not judged.
func newVisit(t *testing.T, g *gate.Gate, provider string) visit {
	t.Helper()
	p := harness.Chromium().Open(t, browser.View{}, strings.TrimPrefix(g.URL, "https://"),
		strings.TrimPrefix(provider, "https://"))
	t.Cleanup(p.Close)
	return visit{p, t, g}
}

// begins asks for a page of the app and goes on to the provider.
func (v visit) begins(path string) {
	v.t.Helper()
	v.Go(v.g.URL + path)
	v.Find("link", "Continue with .*").Follow()
}

// sees checks that the app shows a text at path.
func (v visit) sees(path, text string) {
	v.t.Helper()
	if got := v.Text(); v.URL() != v.g.URL+path || !strings.Contains(got, text) {
		v.t.Fatalf("at %s, not at %s with %q:\n%s", v.URL(), path, text, got)
	}
}

// session returns a function that asks the app for something in the session of this browser, and returns what it
// responds, or "" where that needs a sign-in. The browser has to show a page of the site.
func (v visit) session() func() string {
	v.t.Helper()
	cookies := v.Cookies()
	client := v.g.Client()
	client.Jar = nil
	return func() string {
		v.t.Helper()
		res, err := v.g.Do(client, "/wanted", nil, "Cookie", cookies)
		if err != nil {
			v.t.Fatal(err)
		}
		if res.Status != http.StatusOK {
			return ""
		}
		return res.Body
	}
}

// endsWithin checks that a session ends within a time.
func endsWithin(t *testing.T, session func() string, limit time.Duration) {
	t.Helper()
	became(t, session, limit, "its end", func(body string) bool { return body == "" })
}

// became waits until what the app responds is right.
func became(t *testing.T, session func() string, limit time.Duration, what string, right func(body string) bool) {
	t.Helper()
	body := session()
	for deadline := time.Now().Add(limit); !right(body); body = session() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain for %s; the app says %q", limit, what, body)
		}
		time.Sleep(20 * time.Millisecond) // waits: the pause of a poll that has a deadline
	}
}

// refreshed is how long a change at a provider may take that comes with the refresh of a token that lives a minute.
const refreshed = 75 * time.Second

// signOutThere signs out here and at the provider.
func (v visit) signOutThere(label string) {
	v.t.Helper()
	v.Go(v.g.URL + "/_auth/logout")
	v.Find("checkbox", "Also sign out of "+label).Click()
	v.Find("button", "Sign out").Follow()
}

// checks checks what `caddy gatehouse provider check` says.
func checks(t *testing.T, g *gate.Gate, want string) {
	t.Helper()
	out, err := g.Gatehouse(t.Context(), "", "provider", "check")
	if ok := strings.Contains(out, " ok "); !strings.Contains(out, want) || ok != (err == nil) {
		t.Errorf("provider check does not say %q (%v):\n%s", want, err, out)
	}
}
