package cmd

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// envValues are values that users choose and that env files are known to change.
var envValues = []string{
	"plain", "with space", " leading", "trailing ", "dollar$HOME", "$", "`id`", `dou"ble`, "sin'gle", `back\slash`, `ends\`,
	`"quoted"`, `'quoted'`, `"`, `'`, `"'`, `'"`, `a'b"c$d`, `\'`, `a\'b`, "semi;colon&pipe|", "=equals=", "ünïcödé ☃", "日本語のパスワード",
	"nbsp\u00a0", "%percent%", "{env.HOME}", "!bang", "~tilde", "a=b", "export X", "[glob]*?", "tab\tin",
	"line\nbreak", "cr\r",
}

// unwritable are values that Caddy's env files can't hold.
var unwritable = []string{"hash#tag", "#", "a #b", "'#'", "carriage\r\nreturn", `"ends\`, "' \\"}

func TestQuotedValuesRoundTrip(t *testing.T) {
	t.Parallel()
	for _, v := range envValues {
		form, err := quoteEnv(v)
		if err != nil {
			t.Errorf("%q: %v", v, err)
			continue
		}
		f, err := parseEnv([]byte("A=1\nX=" + form + "\nB=2\n"))
		if want := map[string]string{"A": "1", "X": v, "B": "2"}; err != nil || !maps.Equal(f.values(), want) {
			t.Errorf("%q written as %s comes back as %q (%v)", v, form, f.values(), err)
		}
	}
}

func TestUnwritableValuesAreRefusedAndNotShown(t *testing.T) {
	t.Parallel()
	for _, v := range unwritable {
		form, err := quoteEnv(v)
		if err == nil {
			t.Errorf("%q is written as %s", v, form)
		} else if len(v) > 2 && strings.Contains(err.Error(), v) {
			t.Errorf("the error repeats %q: %v", v, err)
		}
	}
}

// TestCaddyReadsBackWhatIsWritten has Caddy read all values.
func TestCaddyReadsBackWhatIsWritten(t *testing.T) {
	t.Parallel()
	for _, v := range envValues {
		form, err := quoteEnv(v)
		if err != nil {
			t.Errorf("%q: %v", v, err)
			continue
		}
		if got := caddyEnv(t, "GATEHOUSE_TEST_VALUE="+form+"\nGATEHOUSE_TEST_NEXT=1\n"); got != v {
			t.Errorf("%q written as %s: Caddy reads %q", v, form, got)
		}
	}
}

// caddyEnv returns what Caddy reads for GATEHOUSE_TEST_VALUE from an env file.
func caddyEnv(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("caddy", "environ", "--envfile", file)
	c.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "GORACE=" + os.Getenv("GORACE")}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	_, rest, found := strings.Cut(string(out), "\nGATEHOUSE_TEST_VALUE=")
	if !found {
		t.Fatalf("Caddy does not see the variable")
	}
	// The environment is printed in no particular order; the value goes up to the next variable.
	for _, next := range []string{"\nGATEHOUSE_TEST_NEXT=", "\nHOME=", "\nPATH="} {
		rest, _, _ = strings.Cut(rest, next)
	}
	return strings.TrimSuffix(rest, "\n")
}

func TestEnvFilesAreReadAsCaddyReadsThem(t *testing.T) {
	t.Parallel()
	const name = "GATEHOUSE_TEST_VALUE="
	for _, content := range []string{
		name + "x", "export " + name + "x", "  " + name + "x  ", name, name + "x # comment", name + "x#y", name + "#x",
		name + `"a b"`, name + "'a b'", name + "\"a\nb\"", name + "'a\n  b'", name + `"a\"b"`, name + "\"a\\\"\nb\"",
		"# comment\n\n" + name + "x\r", name + "1\n" + name + "2", name + `'`, name + `""`, name + "\"a # b\nc\"",
	} {
		f, err := parseEnv([]byte(content + "\n"))
		if err != nil {
			t.Errorf("%q: %v", content, err)
			continue
		}
		if got, want := f.values()["GATEHOUSE_TEST_VALUE"], caddyEnv(t, content+"\n"); got != want {
			t.Errorf("%q: read as %q, Caddy reads %q", content, got, want)
		}
	}
}

func TestErrorsOfEnvFilesNameTheLineOnly(t *testing.T) {
	t.Parallel()
	for content, where := range map[string]string{
		"A=1\nsecret":              "line 2",
		"=secret":                  "line 1",
		"A B=secret":               "line 1",
		"A= secret":                "line 1",
		"A=1\nB='secret\nmore\n":   "line 2",
		strings.Repeat("x", 1<<17): "line 1",
	} {
		_, err := parseEnv([]byte(content))
		if err == nil || !strings.Contains(err.Error(), where) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%.20q: %v, want an error that names %s only", content, err, where)
		}
	}
}

func TestSettingAVariableChangesNothingElse(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, before, value, after string }{
		{"plain", "A=1\nP=old\nB=2\n", "new", "A=1\nP=new\nB=2\n"},
		{"needs quotes", "P=old\n", "new word", "P='new word'\n"},
		{"had quotes", "P=\"old one\"\nB=2\n", "new", "P=new\nB=2\n"},
		{"many lines", "A=1\nP='old\nold\nold'\nB=2\n", "new", "A=1\nP=new\nB=2\n"},
		{"comments", "# about P=1\nP=old  # keep me\n", "new", "# about P=1\nP=new  # keep me\n"},
		{"a comment behind quotes", "\tP=old # keep me\nB=2\n", "a b", "\t# keep me\n\tP='a b'\nB=2\n"},
		{"the rest of an old password is no comment", "P=old#secret\n", "new", "P=new\n"},
		{"export and indent", "  export P=old\n", "new", "  export P=new\n"},
		{"no last line end", "A=1\nP=old", "new", "A=1\nP=new"},
		{"line ends of Windows", "A=1\r\nP=old\r\nB=2\r\n", "new", "A=1\r\nP=new\r\nB=2\r\n"},
		{"set twice", "P=1\nA=x\nP=2\n", "new", "P=new\nA=x\nP=new\n"},
		{"longer names", "XP=1\nPX=2\nP=3\n", "new", "XP=1\nPX=2\nP=new\n"},
		{"empty", "P=\n", "new", "P=new\n"},
	}
	for _, c := range cases {
		f, err := parseEnv([]byte(c.before))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got, err := f.set("P", c.value)
		if err != nil || string(got) != c.after {
			t.Errorf("%s: %v\n%q, want\n%q", c.name, err, got, c.after)
		}
	}
	f, err := parseEnv([]byte("# P=1\nXP=1\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.set("P", "new"); !errors.Is(err, errNotSet) {
		t.Errorf("not set: %v", err)
	}
	if _, err := f.set("XP", "a#b"); err == nil {
		t.Error("a value that does not round-trip was written")
	}
}

func FuzzSettingAVariable(f *testing.F) {
	seeds := 0
	for _, v := range append(append([]string{}, envValues...), unwritable...) {
		f.Add("A=1 # x\nP=old # comment\nB='2\n3'\n", v)
		f.Add("export P='"+v+"'\nB=2", v)
		seeds++
	}
	if seeds == 0 {
		f.Fatal("no seeds")
	}
	f.Fuzz(func(t *testing.T, content, value string) {
		file, err := parseEnv([]byte(content))
		if err != nil {
			return
		}
		out, err := file.set("P", value)
		if err != nil {
			if len(value) > 20 && strings.Contains(err.Error(), value) {
				t.Errorf("the error repeats the value: %v", err)
			}
			return
		}
		again, err := parseEnv(out)
		if err != nil {
			t.Fatalf("%q became unreadable: %q: %v", content, out, err)
		}
		want := file.values()
		want["P"] = value
		if !maps.Equal(again.values(), want) {
			t.Errorf("%q with P=%q became %q", content, value, out)
		}
	})
}
