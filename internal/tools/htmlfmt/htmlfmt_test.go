package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func formatted(t *testing.T, src string) string {
	t.Helper()
	f, err := newFormatter(map[string][]byte{"x.html": []byte(src)})
	if err != nil {
		t.Fatalf("%q: %v", src, err)
	}
	out, err := f.format("x.html")
	if err != nil {
		t.Fatalf("%q: %v", src, err)
	}
	return string(out)
}

func TestTemplatesAreFormattedAsHTML(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("../testdata/htmlfmt/*.in")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		in, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		golden := strings.TrimSuffix(name, ".in") + ".golden"
		got := formatted(t, string(in))
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s:\n%s", golden, got)
		}
		if again := formatted(t, got); again != got {
			t.Errorf("%s changes when it is formatted again:\n%s", golden, again)
		}
	}
}

// White space between words, and its absence, is text: it stays, whatever stands around it.
func TestTextKeepsItsSpaces(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("word ", 40)
	for src, want := range map[string]string{
		`<p>a<b>b</b> c</p>`:                            "<p>a<b>b</b> c</p>\n",
		`<p>` + "\n a \t\n b\n</p>":                     "<p>a b</p>\n",
		`<p>{{if .A}} a{{else}}b {{end}}c</p>`:          "<p>{{if .A}}a{{else}}b {{end}}c</p>\n",
		`<p>x{{if .A}} a{{end}}</p>`:                    "<p>x{{if .A}} a{{end}}</p>\n",
		`<p>{{range .A}}<a>x</a> {{end}}</p>`:           "<p>{{range .A}}<a>x</a> {{end}}</p>\n",
		`<div>x{{with .A}}<p>y</p>{{end}}z</div>`:       "<div>\n\tx{{with .A}}\n\t\t<p>y</p>\n\t{{end}}z\n</div>\n",
		"<pre> a\n  b </pre>":                           "<pre> a\n  b </pre>\n",
		"<p><textarea>\n  {{.V}}\n</textarea></p>":      "<p>\n\t<textarea>\n  {{.V}}\n</textarea>\n</p>\n",
		`<p>` + long + `<a href="x">y</a>.</p>`:         "<p>\n\t" + strings.Repeat("word ", 23) + "word\n\t" + strings.Repeat("word ", 16) + "<a href=\"x\">y</a>.\n</p>\n",
		`<a {{if .B}} c{{end}}  d = "e f" >{{"}}<p>"}}`: "<a{{if .B}} c{{end}} d = \"e f\">{{\"}}<p>\"}}\n",
	} {
		if got := formatted(t, src); got != want {
			t.Errorf("%q:\n%q, want\n%q", src, got, want)
		}
	}
}

func TestBrokenTemplatesAreErrors(t *testing.T) {
	t.Parallel()
	for _, src := range []string{`{{if .A}}`, `x{{end}}`, `{{else}}`, `{{"}}`, `<p class="`, `</p`, `<!-- x`, `<pre>`, `{{/* x }}`} {
		if _, err := newFormatter(map[string][]byte{"x.html": []byte(src)}); err == nil {
			t.Errorf("%q is taken", src)
		}
	}
}
