package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
	"github.com/gatehouse-auth/gatehouse/e2e/internal/harness"
)

// verifierApps are the programs of docs/signed-identity.md by language, and how each is run.
var verifierApps = map[string]func(t *testing.T, source string) *exec.Cmd{
	"go": func(t *testing.T, source string) *exec.Cmd {
		top, dir := must[string](t)(gate.Top()), t.TempDir()
		file, overlay, bin := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "app")
		// As if it were a package of the checkout, which has its library.
		replace := map[string]map[string]string{"Replace": {filepath.Join(top, "docs", "verifier", "main.go"): file}}
		writeFile(t, file, source)
		writeFile(t, overlay, string(must[[]byte](t)(json.Marshal(replace))))
		build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-overlay", overlay, "-o", bin, "./docs/verifier")
		build.Dir, build.Env = top, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return exec.Command(bin)
	},
	"python": func(t *testing.T, source string) *exec.Cmd {
		python := os.Getenv("GATEHOUSE_TEST_PYTHON")
		if python == "" {
			python = "/usr/bin/python3"
		}
		file := filepath.Join(t.TempDir(), "app.py")
		writeFile(t, file, source)
		return exec.Command(python, file)
	},
	"js": func(t *testing.T, source string) *exec.Cmd {
		dir := t.TempDir()
		file := filepath.Join(dir, "app.mjs")
		writeFile(t, file, source)
		modules := filepath.Join(must[string](t)(gate.Top()), "e2e", "node_modules")
		if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
			t.Fatal(err)
		}
		return exec.Command("node", file)
	},
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// startVerifier runs the program of a language for the app of an origin, and returns its own address.
func startVerifier(t *testing.T, language, origin string) string {
	t.Helper()
	page := string(must[[]byte](t)(os.ReadFile(filepath.Join(must[string](t)(gate.Top()), "docs", "signed-identity.md"))))
	_, source, found := strings.Cut(page, "\n```"+language+"\n")
	source, _, closed := strings.Cut(source, "\n```\n")
	if !found || !closed || !strings.Contains(source, "https://app.example.com") || !strings.Contains(source, "9000") {
		t.Fatalf("the page has no program in %s", language)
	}
	port := strconv.Itoa(must[[]int](t)(gate.Ports(1))[0])
	source = strings.NewReplacer("https://app.example.com", origin, "9000", port).Replace(source)
	cmd := verifierApps[language](t, source)
	var out lockedOutput
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the program in %s: %s", language, &out)
		}
	})
	address := "http://localhost:" + port
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if status, _ := show(t, address, ""); status != 0 {
			return address
		}
		if time.Now().After(deadline) {
			t.Fatalf("the program in %s does not answer: %s", language, &out)
		}
	}
}

type lockedOutput struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *lockedOutput) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *lockedOutput) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// show asks an app around the gate, with an assertion; status 0 means that it is not there.
func show(t *testing.T, address, assertion string) (status int, text string) {
	t.Helper()
	r := must[*http.Request](t)(http.NewRequest(http.MethodGet, address, nil))
	if assertion != "" {
		r.Header.Set("Gatehouse-Assertion", assertion)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	var body [1 << 10]byte
	n, _ := res.Body.Read(body[:])
	return res.StatusCode, string(body[:n])
}

// Behind a real gate the documented programs know who asks; and nobody else gets anything out of them.
func TestDocumentedVerifiersKnowWhoAsks(t *testing.T) {
	t.Parallel()
	const port = 9100 // another one when it runs
	caddyfile := `{
	persist_config off
	skip_install_trust
	gatehouse {
		password {
			argon2id 19MiB 2 1
		}
	}
}
http://localhost:9100, http://127.0.0.1:9100 {
	bind 127.0.0.1
	gatehouse {
		assertion
	}
	gatehouse /other {
		assertion {
			audience https://other.example.com
		}
	}
	gatehouse /issuer {
		assertion {
			audience http://localhost:9100
		}
	}
	handle_path /app/* {
		reverse_proxy {http.request.header.X-App}
	}
	respond {http.request.header.Gatehouse-Assertion}
}
`
	g := must[*gate.Gate](t)(gate.StartFile(t.Context(), t.TempDir(), caddyfile, []int{port}))
	harness.StopAtEnd(t, g)
	c := g.Client()
	if res, err := g.SignIn(c, gate.Admin, gate.AdminPassword); err != nil || res.Status != http.StatusSeeOther {
		t.Fatal(res.Status, err)
	}
	elsewhere := &gate.Gate{URL: strings.Replace(g.URL, "localhost", "127.0.0.1", 1)}
	c2 := elsewhere.Client()
	if res, err := elsewhere.SignIn(c2, gate.Admin, gate.AdminPassword); err != nil || res.Status != http.StatusSeeOther {
		t.Fatal(res.Status, err)
	}
	assertion := func(g *gate.Gate, c *http.Client, path string) string {
		res := must[gate.Response](t)(g.Do(c, path, nil))
		if strings.Count(res.Body, ".") != 2 {
			t.Fatalf("%s: %d %s", path, res.Status, res.Body)
		}
		return res.Body
	}
	// Made where they are used: they live for some minutes, for which a busy machine may let a language wait.
	samples := func() (good string, bad map[string]string) {
		good = assertion(g, c, "/")
		bad = map[string]string{
			"no assertion":             "",
			"one for another audience": assertion(g, c, "/other"),
			"one of another host":      assertion(elsewhere, c2, "/"),
			"one of another issuer":    assertion(elsewhere, c2, "/issuer"),
			"a changed one":            good[:len(good)-3] + "AAA",
			"the claims of another":    strings.Join([]string{strings.Split(good, ".")[0], strings.Split(assertion(g, c, "/other"), ".")[1], strings.Split(good, ".")[2]}, "."),
		}
		return good, bad
	}
	for language := range verifierApps {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			address := startVerifier(t, language, g.URL)
			good, bad := samples()
			res := must[gate.Response](t)(g.Do(c, "/app/x", nil, "X-App", strings.TrimPrefix(address, "http://"), "Gatehouse-Assertion", "forged"))
			if res.Status != http.StatusOK || !strings.HasPrefix(res.Body, "hello admin of") {
				t.Errorf("through the gate: %d %s", res.Status, res.Body)
			}
			if status, text := show(t, address, good); status != http.StatusOK {
				t.Errorf("with an assertion of its own: %d %s", status, text)
			}
			for what, assertion := range bad {
				if status, text := show(t, address, assertion); status != http.StatusUnauthorized {
					t.Errorf("%s: %d %s", what, status, text)
				}
			}
		})
	}
}

// What no gate signs, the documented programs refuse: what is over or has no end, other algorithms, other keys.
func TestDocumentedVerifiersRefuseWhatNoGateSigns(t *testing.T) {
	t.Parallel()
	key, foreign := newSigningKey(t, "ours"), newSigningKey(t, "ours")
	keys := must[[]byte](t)(json.Marshal(map[string]any{"keys": []any{key.public()}}))
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/_auth/jwks.json" {
			_, _ = w.Write(keys)
		}
	}))
	t.Cleanup(site.Close)
	now := time.Now()
	claims := func(change map[string]any) map[string]any {
		c := map[string]any{
			"iss": site.URL, "aud": site.URL, "sub": "1", "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
			"preferred_username": "ada", "groups": []string{"staff"},
		}
		maps.Copy(c, change)
		maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
		return c
	}
	header := map[string]any{"alg": "ES256", "typ": "JWT", "kid": "ours"}
	none := unsigned(t, map[string]any{"alg": "none", "typ": "JWT", "kid": "ours"}, claims(nil))
	symmetric := unsigned(t, map[string]any{"alg": "HS256", "typ": "JWT", "kid": "ours"}, claims(nil))
	mac := hmac.New(sha256.New, []byte(key.public()["x"].(string)))
	mac.Write([]byte(symmetric))
	bad := map[string]string{
		"one that is over":               key.sign(t, header, claims(map[string]any{"iat": now.Add(-time.Hour).Unix(), "nbf": now.Add(-time.Hour).Unix(), "exp": now.Add(-time.Minute).Unix()})),
		"one without an end":             key.sign(t, header, claims(map[string]any{"exp": nil})),
		"one that has not begun":         key.sign(t, header, claims(map[string]any{"nbf": now.Add(time.Hour).Unix()})),
		"one for everybody":              key.sign(t, header, claims(map[string]any{"aud": nil})),
		"one of nobody":                  key.sign(t, header, claims(map[string]any{"iss": nil})),
		"an issuer with a slash":         key.sign(t, header, claims(map[string]any{"iss": site.URL + "/"})),
		"a longer audience":              key.sign(t, header, claims(map[string]any{"aud": site.URL + ".example.com"})),
		"one of another key of the name": foreign.sign(t, header, claims(nil)),
		"one that brings its key":        foreign.sign(t, map[string]any{"alg": "ES256", "typ": "JWT", "jwk": foreign.public()}, claims(nil)),
		"one of an unknown key":          foreign.sign(t, map[string]any{"alg": "ES256", "typ": "JWT", "kid": "theirs"}, claims(nil)),
		"one without a signature":        none + ".",
		"one signed with what is public": symmetric + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)),
		"no token at all":                "eyJ.eyJ.x",
	}
	good := key.sign(t, header, claims(nil))
	for language := range verifierApps {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			address := startVerifier(t, language, site.URL)
			if status, text := show(t, address, good); status != http.StatusOK || !strings.HasPrefix(text, "hello ada of") || !strings.Contains(text, "staff") {
				t.Errorf("a good one: %d %s", status, text)
			}
			for what, assertion := range bad {
				if status, text := show(t, address, assertion); status != http.StatusUnauthorized {
					t.Errorf("%s: %d %s", what, status, text)
				}
			}
			if status, _ := show(t, address, good); status != http.StatusOK {
				t.Errorf("after all these a good one: %d", status)
			}
		})
	}
}

// signingKey signs what a gate would not.
type signingKey struct {
	id      string
	private *ecdsa.PrivateKey
}

func newSigningKey(t *testing.T, id string) signingKey {
	t.Helper()
	return signingKey{id, must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
}

func (k signingKey) public() map[string]any {
	var x, y [32]byte
	k.private.X.FillBytes(x[:])
	k.private.Y.FillBytes(y[:])
	encode := base64.RawURLEncoding.EncodeToString
	return map[string]any{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": k.id, "x": encode(x[:]), "y": encode(y[:])}
}

func unsigned(t *testing.T, header, claims map[string]any) string {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	return fmt.Sprintf("%s.%s", encode(must[[]byte](t)(json.Marshal(header))), encode(must[[]byte](t)(json.Marshal(claims))))
}

func (k signingKey) sign(t *testing.T, header, claims map[string]any) string {
	t.Helper()
	text := unsigned(t, header, claims)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, k.private, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(signature[:])
}
