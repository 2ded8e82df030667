// Package redirects holds a corpus of return-to values that attackers try, and a reading of addresses as browsers do it
// that shares nothing with the code under test.
package redirects

import (
	"bufio"
	_ "embed"
	"net/url"
	"path"
	"strings"
	"testing"

	"golang.org/x/net/idna"
)

//go:embed return-to.tsv
var tsv string

// Host and Origin are those of the site that the corpus is about.
const (
	Host   = "app.example.test"
	Origin = "https://" + Host
	page   = Origin + "/login"
)

// Line is a value of return-to.tsv.
type Line struct {
	Allow bool
	Raw   string
}

// Corpus returns the lines of return-to.tsv.
func Corpus(t testing.TB) []Line {
	t.Helper()
	var lines []Line
	sc := bufio.NewScanner(strings.NewReader(tsv))
	for sc.Scan() {
		line := sc.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		verdict, escaped, ok := strings.Cut(line, "\t")
		raw, err := url.PathUnescape(escaped)
		if !ok || err != nil || (verdict != "REJECT" && verdict != "ALLOW") {
			t.Fatalf("malformed line %q", line)
		}
		lines = append(lines, Line{verdict == "ALLOW", raw})
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// CheckLocation holds a Location against the rules of the corpus: no reader, however lenient, is led off the site.
func CheckLocation(t testing.TB, location string) {
	t.Helper()
	for _, c := range []byte(location) {
		if c < 0x21 || c == 0x7f || c == '\\' {
			t.Fatalf("Location %q holds byte %#x", location, c)
		}
	}
	if strings.HasPrefix(location, "//") || !strings.HasPrefix(location, "/") {
		t.Fatalf("Location %q is no path", location)
	}
	base, err := url.Parse(Origin + "/login")
	if err != nil {
		t.Fatal(err)
	}
	once := lenient(location)
	readings := map[string]string{
		"as it is": location, "decoded": once, "decoded twice": lenient(once),
		"cleaned": path.Clean(location),
	}
	for how, l := range readings {
		if at, err := Resolve(l); err != nil || at.Origin != Origin {
			t.Fatalf("Location %q, %s, leads a browser to %+v (%v)", location, how, at, err)
		}
		u, err := base.Parse(l)
		if err != nil && how == "as it is" {
			t.Fatalf("Location %q: %v", location, err)
		}
		if err == nil && (u.Scheme != "https" || u.Host != Host || u.User != nil) {
			t.Fatalf("Location %q, %s, leads net/url to %s", location, how, u)
		}
	}
}

func lenient(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if d, err := url.PathUnescape(s[i : i+3]); err == nil {
				b.WriteString(d)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Place is where an address leads a browser.
type Place struct{ Origin, Path, Query, Fragment string }

// Resolve resolves an address on a page of [Origin] as browsers do (URL standard, "basic URL parser"), as far as https
// pages are concerned: what they strip, what they take for slashes, and how dot segments collapse. It is written from
// the standard and shares nothing with the code under test.
func Resolve(in string) (Place, error) {
	in = strings.TrimFunc(in, func(r rune) bool { return r <= ' ' })
	in = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(in)
	in, fragment, _ := strings.Cut(in, "#")
	scheme := ""
	if i := strings.IndexByte(in, ':'); i > 0 && isScheme(in[:i]) {
		scheme, in = strings.ToLower(in[:i]), in[i+1:]
	}
	special := scheme == "https" || scheme == "http" || scheme == "ws" || scheme == "wss" || scheme == "ftp" ||
		scheme == "file"
	if scheme != "" && !special {
		return Place{Origin: scheme + ":"}, nil
	}
	in, query, _ := strings.Cut(in, "?")
	in = strings.ReplaceAll(in, `\`, "/")
	slashes := len(in) - len(strings.TrimLeft(in, "/"))
	if scheme == "https" && slashes < 2 {
		scheme = "" // the base's own scheme without slashes is a relative address
	}
	if scheme == "" && slashes < 2 {
		b, err := url.Parse(page)
		if err != nil {
			return Place{}, err
		}
		if slashes == 0 {
			in = b.Path[:strings.LastIndexByte(b.Path, '/')+1] + in
		}
		return Place{b.Scheme + "://" + b.Host, collapse(in), query, fragment}, nil
	}
	if scheme == "" {
		scheme = "https"
	}
	in = strings.TrimLeft(in, "/")
	authority, rest := in, ""
	if i := strings.IndexByte(in, '/'); i >= 0 {
		authority, rest = in[:i], in[i:]
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		authority = authority[i+1:]
	}
	hostname, err := idna.Lookup.ToASCII(lenient(authority))
	if err != nil {
		hostname = strings.ToLower(authority)
	}
	return Place{scheme + "://" + strings.TrimSuffix(hostname, ":443"), collapse(rest), query, fragment}, nil
}

func isScheme(s string) bool {
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || ((c < '0' || c > '9') && c != '+' && c != '-' && c != '.')) {
			return false
		}
	}
	return true
}

// collapse removes dot segments, also escaped ones.
func collapse(p string) string {
	var out []string
	segs := strings.Split(strings.TrimPrefix(p, "/"), "/")
	for i, seg := range segs {
		last := i == len(segs)-1
		switch strings.ReplaceAll(strings.ToLower(seg), "%2e", ".") {
		case "..":
			if len(out) > 0 {
				out = out[:len(out)-1]
			}
			if last {
				out = append(out, "")
			}
		case ".":
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, seg)
		}
	}
	return "/" + strings.Join(out, "/")
}
