package gatehouse_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/caddyauth"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	idp "github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// documents returns every Markdown page of the repository, by path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	pages := make(map[string]string)
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "deploy/*.md", "deploy/*/*.md", "deploy/*/*/*.md"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			pages[filepath.ToSlash(name)] = string(raw)
		}
	}
	if len(pages) < 5 {
		t.Fatalf("found %d pages only", len(pages))
	}
	return pages
}

var fence = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// blocks returns the fenced blocks of a language in a page.
func blocks(page, language string) (found []string) {
	for _, m := range fence.FindAllStringSubmatch(page, -1) {
		if m[1] == language {
			found = append(found, m[2])
		}
	}
	return found
}

func adapt(t *testing.T, source string) []byte {
	t.Helper()
	adapter := caddyfile.Adapter{ServerType: httpcaddyfile.ServerType{}}
	config, warnings, err := adapter.Adapt([]byte(source), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Errorf("%v\n%s", err, source)
	}
	for _, w := range warnings {
		t.Errorf("warning: %s\n%s", w.Message, source)
	}
	return config
}

// Caddyfiles in the documentation are valid and formatted like by `caddy fmt`.
func TestDocumentedCaddyfilesAreValid(t *testing.T) {
	n := 0
	for name, page := range documents(t) {
		for _, source := range blocks(page, "caddyfile") {
			n++
			if got := string(caddyfile.Format([]byte(source))); got != source {
				t.Errorf("%s: not formatted:\n%s\nit should be\n%s", name, source, got)
			}
			validate(t, name, adapt(t, source))
		}
	}
	if n < 3 {
		t.Errorf("found %d Caddyfiles only", n)
	}
}

// validate does the same as `caddy validate`, with the files and variables that the documentation mentions.
func validate(t *testing.T, name string, config []byte) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_DATA_HOME", filepath.Join(dir, "data"))
	dsn := "postgres://gatehouse:secret@localhost/gatehouse"
	if strings.Contains(string(config), `"engine":"postgres"`) { // to validate is to connect
		dsn = testenv.PostgresDSN(t)
	}
	secrets := secretFiles(t, dir, dsn)
	logo := filepath.Join(dir, "logo.svg")
	if err := os.WriteFile(logo, []byte(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>`),
		0o600); err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(dir, "cluster-keys.json")
	set := must(json.Marshal(map[string]any{"keys": []any{idp.RSA(0).JWK()}}))
	if err := os.WriteFile(keys, set, 0o600); err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`/run/secrets/[a-z./-]+`).ReplaceAllStringFunc(string(config), secrets)
	text = strings.NewReplacer("/var/lib/gatehouse", dir, "/etc/caddy/logo.svg", logo,
		"/etc/caddy/cluster-keys.json", keys).Replace(text)
	for _, m := range regexp.MustCompile(`\{env\.([A-Z_]+)\}`).FindAllStringSubmatch(text, -1) {
		t.Setenv(m[1], "value")
	}
	for k, v := range map[string]string{
		"DATABASE_URL": dsn,
		"ADMIN_EMAIL":  "root@example.com", "ADMIN_PASSWORD": "a secret of the documentation's test",
	} {
		t.Setenv(k, v)
	}
	var parsed caddy.Config
	if err := json.Unmarshal([]byte(text), &parsed); err != nil {
		t.Fatal(err)
	}
	parsed.StorageRaw = json.RawMessage(`{"module":"file_system","root":` + string(must(json.Marshal(dir))) + `}`)
	if err := caddy.Validate(&parsed); err != nil {
		t.Errorf("%s: %v\n%s", name, err, text)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "data", "*")); len(left) > 0 {
		t.Errorf("%s: validating made %v", name, left)
	}
}

// secretFiles creates files like the secrets in the documentation, and returns the file for each name: a hash, a key,
// a connection string or a password.
func secretFiles(t *testing.T, dir, dsn string) func(name string) string {
	t.Helper()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	private := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	key := must(x509.MarshalPKCS8PrivateKey(private))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true}
	certificate := must(x509.CreateCertificate(rand.Reader, template, template, private.Public(), private))
	hasher := password.NewHasher(password.Params{MemoryKiB: 64, Time: 1, Threads: 1}, password.NewSlots(1, 1))
	keyFile := write("key", slices.Concat(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})))
	hash := write("hash", []byte(must(hasher.Hash(t.Context(), "a secret of the documentation's test"))))
	dsnFile := write("dsn", []byte(dsn+"\n"))
	secret := write("secret", []byte("a secret of the documentation's test\n"))
	return func(name string) string {
		switch {
		case strings.HasSuffix(name, ".pem"):
			return keyFile
		case strings.HasSuffix(name, "-hash"):
			return hash
		case strings.HasSuffix(name, "-url"):
			return dsnFile
		default:
			return secret
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// fields returns the JSON paths of a configuration struct: those of its leaves.
func fields(typ reflect.Type, prefix string) (paths []string) {
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if typ.Kind() == reflect.Slice && typ.Elem().Kind() != reflect.Uint8 {
		elem := typ.Elem()
		for elem.Kind() == reflect.Pointer {
			elem = elem.Elem()
		}
		if elem.Kind() == reflect.Struct {
			return fields(elem, strings.TrimSuffix(prefix, ".")+"[].")
		}
	}
	if typ.Kind() != reflect.Struct {
		return []string{strings.TrimSuffix(prefix, ".")}
	}
	for i := range typ.NumField() {
		name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		if typ.Field(i).IsExported() && name != "" && name != "-" {
			paths = append(paths, fields(typ.Field(i).Type, prefix+name+".")...)
		}
	}
	return paths
}

func options() []string {
	all := append(fields(reflect.TypeFor[caddyauth.App](), ""), fields(reflect.TypeFor[caddyauth.Gate](), "")...)
	slices.Sort(all)
	return slices.Compact(all)
}

var ticked = regexp.MustCompile("`([^`]+)`")

// documented returns the JSON paths in docs/configuration.md with the default beside each.
func documented(t *testing.T) map[string]string {
	t.Helper()
	defaults := make(map[string]string)
	table := false
	for line := range strings.Lines(documents(t)["docs/configuration.md"]) {
		cells := strings.Split(strings.Trim(line, "|\n "), " | ")
		switch {
		case strings.HasPrefix(line, "| option | JSON | default |"):
			table = true
		case !strings.HasPrefix(line, "|"):
			table = false
		case table && len(cells) >= 3 && !strings.HasPrefix(line, "|---"):
			for _, m := range ticked.FindAllStringSubmatch(cells[1], -1) {
				if _, twice := defaults[m[1]]; twice {
					t.Errorf("%s is documented twice", m[1])
				}
				defaults[m[1]] = strings.TrimSpace(cells[2])
			}
		}
	}
	return defaults
}

// docs/configuration.md and the configuration have the same options.
func TestConfigurationIsDocumented(t *testing.T) {
	have, want := documented(t), options()
	if len(want) < 30 {
		t.Fatalf("found %d options only", len(want))
	}
	for _, path := range want {
		if _, ok := have[path]; !ok {
			t.Errorf("docs/configuration.md does not tell of %s", path)
		}
	}
	for path := range have {
		if !slices.Contains(want, path) {
			t.Errorf("docs/configuration.md tells of %s, which does not exist", path)
		}
	}
}

// The documented defaults are the actual ones.
func TestDocumentedDefaultsAreCorrect(t *testing.T) {
	have := documented(t)
	for path, want := range map[string]string{
		"session.idle":           span(session.DefaultLimits.Idle.Hours()),
		"session.absolute":       span(session.DefaultLimits.Absolute.Hours()),
		"session.remember":       span(session.DefaultLimits.Remember.Hours()),
		"password.min_length":    itoa(password.DefaultMinLength),
		"password.argon2id.time": password.DefaultParams.String(),
		"throttle.free":          itoa(login.DefaultLimits.FreeAttempts),
		"throttle.longest":       itoa(int(login.DefaultLimits.MaxWait.Minutes())) + "m",
		"throttle.client_attempts": itoa(login.DefaultLimits.Client) + "/" +
			itoa(int(login.DefaultLimits.Window.Minutes())) + "m",
		"prefix":             "/_auth",
		"admin.mode":         "seed",
		"admin.former_admin": "keep",
	} {
		if have[path] != "`"+want+"`" {
			t.Errorf("the default of %s is documented as %s, but it is %s", path, have[path], want)
		}
	}
	app := new(caddyauth.App)
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	if err := app.Resolve(); err != nil {
		t.Fatal(err)
	}
	if app.MountPrefix() != "/_auth" || app.PasswordPolicy().Min() != password.DefaultMinLength ||
		app.HashParams() != password.DefaultParams {
		t.Errorf("in force without configuration: prefix %s, at least %d characters, argon2id %s",
			app.MountPrefix(), app.PasswordPolicy().Min(), app.HashParams())
	}
}

func itoa(n int) string { return string(must(json.Marshal(n))) }

// span formats hours like a Caddyfile.
func span(hours float64) string {
	if h := int(hours); h%24 == 0 {
		return itoa(h/24) + "d"
	}
	return itoa(int(hours)) + "h"
}

// Each option is used in a Caddyfile of the documentation.
func TestEveryOptionHasAnExample(t *testing.T) {
	seen := make(map[string]bool)
	for _, page := range documents(t) {
		for _, source := range blocks(page, "caddyfile") {
			var config any
			if err := json.Unmarshal(adapt(t, source), &config); err != nil {
				t.Fatal(err)
			}
			collect(config, seen)
		}
	}
	for _, path := range options() {
		if !seen[path] {
			t.Errorf("no Caddyfile of the documentation uses %s", path)
		}
	}
}

// collect records the JSON paths below the app and the handlers in a configuration.
func collect(v any, seen map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		if v["handler"] == "gatehouse" {
			note(v, "", seen)
		}
		for key, child := range v {
			if key == "gatehouse" {
				note(child, "", seen)
			}
			collect(child, seen)
		}
	case []any:
		for _, child := range v {
			collect(child, seen)
		}
	}
}

func note(v any, path string, seen map[string]bool) {
	seen[strings.TrimSuffix(path, ".")] = true
	switch v := v.(type) {
	case map[string]any:
		for key, child := range v {
			note(child, path+key+".", seen)
		}
	case []any:
		for _, child := range v {
			note(child, strings.TrimSuffix(path, ".")+"[].", seen)
		}
	}
}
