package seed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/gatehouse-auth/gatehouse/internal/password"
)

func ptr(s string) *string { return &s }

func parseSeed(cfg Config, v vars) (*Values, error) {
	if cfg.Mode == "" {
		cfg.Mode = ModeSeed
	}
	return Parse(cfg, v.lookup, ReadFile, password.Policy{})
}

// plaintext returns the parsed password.
func plaintext(v *Values) string {
	if v.password == nil {
		return ""
	}
	return *v.password
}

func TestParseDefaults(t *testing.T) {
	t.Parallel()
	v, err := parseSeed(Config{}, vars{
		"ADMIN_USER": "", "ADMIN_PASSWORD": "", "ADMIN_PASSWORD_FILE": "",
		"ADMIN_PASSWORD_HASH": "",
	})
	if err != nil || v.Username() != "admin" || v.HasPassword() || v.force || v.Email() != "" ||
		v.formerAdmin != FormerKeep || v.Mode() != ModeSeed {
		t.Errorf("%v, %v", v, err)
	}
}

func TestParseReadsOnlyThePrefixedVariables(t *testing.T) {
	t.Parallel()
	all := vars{
		"ADMIN_PASSWORD": first, "ADMIN_USER": "wrong", "APP_ADMIN_PASSWORD": second, "APP_ADMIN_USER": "alice",
		"APP_ADMIN_EMAIL": "a@example.com",
	}
	v, err := parseSeed(Config{EnvPrefix: "APP_"}, all)
	if err != nil || v.Username() != "alice" || plaintext(v) != second || v.Email() != "a@example.com" ||
		v.PasswordSource() != "APP_ADMIN_PASSWORD" {
		t.Errorf("%v, %v", v, err)
	}
	v, err = parseSeed(Config{EnvPrefix: "OTHER_"}, all)
	if err != nil || v.HasPassword() || v.Username() != "admin" {
		t.Errorf("%v, %v", v, err)
	}
	_, err = parseSeed(Config{EnvPrefix: "APP_", Mode: ModeManaged},
		vars{"ADMIN_EMAIL": "a@example.com", "ADMIN_PASSWORD": first})
	if err == nil || !strings.Contains(err.Error(), "APP_ADMIN_EMAIL must be set") ||
		!strings.Contains(err.Error(), "APP_ADMIN_PASSWORD must be set") {
		t.Errorf("%v", err)
	}
}

func TestParseConfigurationOverridesTheEnvironment(t *testing.T) {
	t.Parallel()
	v, err := parseSeed(
		Config{User: ptr("alice"), Password: ptr(first), ForceSync: ptr("no"), Email: ptr(""), Name: ptr("Alice")},
		vars{
			"ADMIN_USER": "bob", "ADMIN_PASSWORD": second, "ADMIN_PASSWORD_FORCE_SYNC": "true",
			"ADMIN_EMAIL": "env@example.com", "ADMIN_PASSWORD_FILE": "/nowhere",
		})
	if err != nil || v.Username() != "alice" || plaintext(v) != first || v.force || v.Email() != "env@example.com" {
		t.Errorf("%v, %v", v, err)
	}
	if v.PasswordSource() != "option admin password" {
		t.Errorf("source %q", v.PasswordSource())
	}
}

func TestParsePasswordFileDropsOneTrailingNewline(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		first:                      first,
		first + "\n":               first,
		first + "\r\n":             first,
		" " + first + "  \n":       " " + first + "  ",
		first + "\n\n":             "",
		first + "\n\r":             "",
		first + "\n" + second:      "",
		"\n":                       "",
		"":                         "",
		"  \n":                     "",
		"\ufeff" + first:           "",
		"\xff\xfe" + first:         "",
		first + "\x00":             "",
		strings.Repeat(first, 200): "",
	} {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		v, err := parseSeed(Config{}, vars{"ADMIN_PASSWORD_FILE": path})
		switch {
		case want != "" && (err != nil || plaintext(v) != want):
			t.Errorf("%q: %v", content, err)
		case want == "" && (err == nil || !strings.Contains(err.Error(), "ADMIN_PASSWORD_FILE ") ||
			strings.Contains(err.Error(), "CANARY")):
			t.Errorf("%.30q: %v", content, err)
		}
	}
}

// An error names the file, unless it may be none: people put the password itself into the variable that wants a path.
func TestParsePasswordFileErrorsNameThePathAndNoPassword(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.MkdirAll("secrets/folder", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		dir + "/none", dir + "/secrets/Admin Password", dir + "/secrets/folder", "secrets/none", "./none/at-all", "./none",
		"/run/secrets/admin_password", "/no/such/file",
	} {
		_, err := parseSeed(Config{}, vars{"ADMIN_PASSWORD_FILE": path})
		if err == nil || !strings.Contains(err.Error(), "("+path+")") || !strings.Contains(err.Error(), "ADMIN_PASSWORD_FILE ") {
			t.Errorf("%q: %v", path, err)
		}
	}
	for _, path := range []string{
		"/nowhere/CANARY", "CANARY\x00", "CANARY", "/CANARY", "/CANARY/b", "CA/NARY/CANARY=", "//CANARY", "correct horse/CANARY",
		dir + "/CANARY\x00",
	} {
		_, err := parseSeed(Config{}, vars{"ADMIN_PASSWORD_FILE": path})
		if err == nil || strings.Contains(err.Error(), "CANARY") || !strings.Contains(err.Error(), "ADMIN_PASSWORD_FILE ") {
			t.Errorf("%q: %v", path, err)
		}
	}
	failing := func(string) ([]byte, error) { return nil, errors.New("CANARY") }
	_, err := Parse(Config{Mode: ModeSeed}, vars{"ADMIN_PASSWORD_FILE": "x"}.lookup, failing, password.Policy{})
	if err == nil || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("%v", err)
	}
	_, err = parseSeed(Config{}, vars{"ADMIN_PASSWORD_FILE": "/nowhere/secret"})
	if err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("does not say why: %v", err)
	}
}

// Reading a device without end must stop.
func TestReadFileIsBounded(t *testing.T) {
	t.Parallel()
	if b, err := ReadFile("/dev/zero"); err == nil || len(b) > maxFile+1 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if _, err := ReadFile("/nowhere"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestParseContradictoryPasswordsNameBoth(t *testing.T) {
	t.Parallel()
	secrets := map[string]string{
		"ADMIN_PASSWORD": first, "ADMIN_PASSWORD_FILE": "/nowhere/CANARY",
		"ADMIN_PASSWORD_HASH": "CANARY",
	}
	for one := range secrets {
		for other := range secrets {
			if one == other {
				continue
			}
			for _, mode := range []Mode{ModeSeed, ModeManaged} {
				_, err := parseSeed(Config{Mode: mode, EnvPrefix: "X_", Email: ptr("a@example.com")},
					vars{"X_" + one: secrets[one], "X_" + other: secrets[other]})
				if err == nil || !strings.Contains(err.Error(), "X_"+one+" ") || !strings.Contains(err.Error(), "X_"+other+" ") ||
					strings.Contains(err.Error(), "CANARY") || strings.Contains(err.Error(), "must be set") {
					t.Errorf("%s and %s: %v", one, other, err)
				}
			}
		}
	}
	_, err := parseSeed(Config{Password: ptr(first), PasswordHash: ptr("x")}, vars{})
	if err == nil || !strings.Contains(err.Error(), "option admin password and option admin password_hash contradict") {
		t.Errorf("%v", err)
	}
}

func TestParseForceSyncFlag(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"true": "on", "TRUE": "on", "1": "on", "yes": "on", "Yes": "on", " true ": "on",
		"": "off", "false": "off", "FALSE": "off", "0": "off", "no": "off", "No": "off",
		"on": "error", "off": "error", "2": "error", "y": "error", "t": "error", "truee": "error", "CANARY": "error", "true,": "error", "ｔｒｕｅ": "error",
	} {
		v, err := parseSeed(Config{}, vars{"ADMIN_PASSWORD": first, "ADMIN_PASSWORD_FORCE_SYNC": text})
		got := "error"
		if err == nil {
			got = map[bool]string{true: "on", false: "off"}[v.force]
		} else if !strings.Contains(err.Error(), "ADMIN_PASSWORD_FORCE_SYNC must be true or false") ||
			strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%q: %v", text, err)
		}
		if got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
	if v, err := parseSeed(Config{}, vars{"ADMIN_PASSWORD_FORCE_SYNC": "true"}); err != nil || !v.force {
		t.Errorf("without a password: %v", err)
	}
}

func TestParseRefusesBadValuesByName(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("CANARY", 50)
	for _, c := range []struct{ name, text string }{
		{"ADMIN_USER", " "},
		{"ADMIN_USER", "\u00a0\u3000"},
		{"ADMIN_USER", "CANARY\nx"},
		{"ADMIN_USER", "CANARY\x7f"},
		{"ADMIN_USER", "CANARY" + strings.Repeat("\ufdfa", 200)},
		{"ADMIN_USER", "CANARY\u202egnp"},
		{"ADMIN_USER", "CANARY\u200b"},
		{"ADMIN_USER", "CANARY\xff"},
		{"ADMIN_USER", "CANARY\u034f"},
		{"ADMIN_USER", "CANARY\ufe0f"},
		{"ADMIN_USER", "\u3164"},
		{"ADMIN_EMAIL", "CANARY\u00ad@b.c"},
		{"ADMIN_USER", long},
		{"ADMIN_EMAIL", "CANARY"},
		{"ADMIN_EMAIL", "CANARY@"},
		{"ADMIN_EMAIL", "@CANARY"},
		{"ADMIN_EMAIL", "a@CANARY@b"},
		{"ADMIN_EMAIL", "CANARY <a@b.c>"},
		{"ADMIN_EMAIL", "CANARY x@b.c"},
		{"ADMIN_EMAIL", `"CANARY"@b.c`},
		{"ADMIN_EMAIL", "CANARY(x)@b.c"},
		{"ADMIN_EMAIL", "CANARY\x00@b.c"},
		{"ADMIN_EMAIL", "CANARY@b..c"},
		{"ADMIN_EMAIL", "CANARY@b.c\r\nBcc: x@y.z"},
		{"ADMIN_EMAIL", long + "@b.c"},
		{"ADMIN_EMAIL", "CANARY\u202e@b.c"},
		{"ADMIN_EMAIL", "\t"},
		{"ADMIN_NAME", "CANARY\nx"},
		{"ADMIN_NAME", long},
		{"ADMIN_NAME", "  "},
		{"ADMIN_PASSWORD", "CANARY"},
		{"ADMIN_PASSWORD", "            "},
		{"ADMIN_PASSWORD", "CANARY\x00 long enough"},
		{"ADMIN_PASSWORD", strings.Repeat("CANARY", 200)},
		{"ADMIN_PASSWORD", "CANARY \xff long enough"},
		{"ADMIN_PASSWORD", "please-change-me"},
		{"ADMIN_PASSWORD", "password1234"},
		{"ADMIN_PASSWORD", "admin1234567"},
		{"ADMIN_PASSWORD", "changeme"},
		{"ADMIN_PASSWORD_HASH", "CANARY"},
		{"ADMIN_PASSWORD_HASH", " "},
		{"ADMIN_PASSWORD_HASH", "$argon2id$CANARY"},
		{"ADMIN_PASSWORD_HASH", "argon2id=19=65536,t=3,p=1"},
		{"ADMIN_PASSWORD_HASH", "$argon2id$v=19$m=4294967295,t=3,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
	} {
		v, err := parseSeed(Config{}, vars{c.name: c.text})
		if err == nil || v != nil || !strings.Contains(err.Error(), c.name+" ") || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s=%.40q: %v", c.name, c.text, err)
		}
		if err != nil && strings.Count(err.Error(), ";") > 0 {
			t.Errorf("%s=%.40q is reported twice: %v", c.name, c.text, err)
		}
	}
}

func TestParseReportsEveryProblemAtOnce(t *testing.T) {
	t.Parallel()
	_, err := parseSeed(Config{}, vars{
		"ADMIN_USER": " ", "ADMIN_EMAIL": "x", "ADMIN_PASSWORD": "x",
		"ADMIN_PASSWORD_FORCE_SYNC": "x",
	})
	for _, name := range []string{"ADMIN_USER ", "ADMIN_EMAIL ", "ADMIN_PASSWORD ", "ADMIN_PASSWORD_FORCE_SYNC "} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is missing: %v", name, err)
		}
	}
}

func TestParsePasswordMustNotEqualNamesOrTitle(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{
		{User: ptr("rosalind.franklin"), Password: ptr("Rosalind.Franklin1")},
		{Email: ptr("rosalind.franklin@example.com"), Password: ptr("rosalindfranklin!")},
		{Email: ptr("r@rosalind.example"), Password: ptr("r@rosalind.example")},
		{Name: ptr("Rosalind Franklin"), Password: ptr("rosalind franklin 1")},
		{Title: "Crystal Gazette", Password: ptr("crystalgazette99")},
	} {
		if _, err := parseSeed(cfg, vars{}); err == nil || !strings.Contains(err.Error(), "option admin password ") {
			t.Errorf("%v", err)
		}
	}
}

func TestParseRefusesUnknownModes(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{{Mode: "x"}, {Mode: "Seed"}, {Mode: ModeSeed, FormerAdmin: "delete"}} {
		if _, err := Parse(cfg, vars{}.lookup, ReadFile, password.Policy{}); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
	if _, err := Parse(Config{}, vars{"ADMIN_PASSWORD": first}.lookup, ReadFile, password.Policy{}); err == nil {
		t.Error("the zero mode was accepted")
	}
}

// No way of printing the values shows the password.
func TestValuesNeverShowTheSecret(t *testing.T) {
	t.Parallel()
	const hash = "$2b$12$6uBdJ01URu.UR4UBq4uvjOba7QwwRpHISxc2LYedrzl7ATny0AXJq"
	for _, v := range []vars{{"ADMIN_PASSWORD": first}, {"ADMIN_PASSWORD_HASH": hash}} {
		values, err := parseSeed(Config{}, v)
		if err != nil {
			t.Fatal(err)
		}
		holder := struct {
			V *Values
			v Values
		}{values, *values}
		var shown strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			fmt.Fprintf(&shown, verb+"\n"+verb+"\n"+verb+"\n", values, *values, holder)
		}
		for _, x := range []any{values, *values, holder} {
			b, err := json.Marshal(x)
			if err != nil {
				t.Fatal(err)
			}
			shown.Write(b)
		}
		core, err := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()).EncodeEntry(zapcore.Entry{},
			[]zapcore.Field{zap.Any("a", values), zap.Reflect("b", values), zap.Any("c", *values)})
		if err != nil {
			t.Fatal(err)
		}
		shown.WriteString(core.String())
		for _, secret := range []string{"CANARY", "6uBdJ01", fmt.Sprintf("%x", "CANARY")} {
			if strings.Contains(shown.String(), secret) {
				t.Errorf("%q is shown:\n%s", secret, shown.String())
			}
		}
		if !strings.Contains(values.String(), "ADMIN_PASSWORD") {
			t.Errorf("does not say where the password is from: %s", values)
		}
	}
}

func FuzzEnv(f *testing.F) {
	seeds := [][6]string{
		{"admin", "root@example.com", "-long-enough-secret", "", "", "true"},
		{"", "", "", "secret\n", "", ""},
		{" ", "x", "short", "", "$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA", "1"},
		{"a,b", "a@b@c", "\x00", "\r\n", "pbkdf2:sha1:1000$NaCl$37752880fc7847c2b219d478ea51362eb5eb930a", "maybe"},
		{"\u202e", "\"a b\"@c", strings.Repeat("a", 2000), "\ufeffx", "scrypt:3:8:1$a$b", "no"},
	}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, s := range seeds {
		f.Add(s[0], s[1], s[2], s[3], s[4], s[5], true)
		f.Add(s[0], s[1], s[2], s[3], s[4], s[5], false)
	}
	f.Fuzz(func(t *testing.T, user, email, pass, file, hash, flag string, managed bool) {
		const canary = "QZXJ7canaryKV9"
		mark := func(s string) string {
			if s == "" {
				return s
			}
			return canary + s
		}
		v := vars{
			"ADMIN_USER": user, "ADMIN_EMAIL": email, "ADMIN_PASSWORD": mark(pass), "ADMIN_PASSWORD_HASH": mark(hash),
			"ADMIN_PASSWORD_FORCE_SYNC": mark(flag),
		}
		if file != "" {
			v["ADMIN_PASSWORD_FILE"] = canary
		}
		read := func(string) ([]byte, error) { return []byte(mark(file)), nil }
		mode := ModeSeed
		if managed {
			mode = ModeManaged
		}
		values, err := Parse(Config{Mode: mode}, v.lookup, read, password.Policy{})
		switch {
		case err != nil && (values != nil || strings.Contains(err.Error(), canary)):
			t.Errorf("values %v, error %v", values, err)
		case err != nil:
			return
		case strings.Contains(fmt.Sprintf("%v %+v %#v", values, values, values), canary+pass) && pass != "":
			t.Error("the values show the password")
		case managed && (values.Email() == "" || !values.HasPassword()):
			t.Error("managed without e-mail or password")
		case values.Username() == "" || strings.ContainsAny(values.Username(), "\r\n\x00,"):
			t.Errorf("username %q", values.Username())
		case values.password != nil && (password.Policy{}).Check(*values.password) != nil:
			t.Error("a password against the policy")
		}
	})
}

// The rules for names are those of all accounts: what a page accepts, the environment may contain.
func TestParseAcceptsTheNamesThatPagesAccept(t *testing.T) {
	t.Parallel()
	if _, err := parseSeed(Config{}, vars{"ADMIN_NAME": "می\u200cخواهم", "ADMIN_USER": "Jürgen Groß"}); err != nil {
		t.Error(err)
	}
}
