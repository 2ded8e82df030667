package ui

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

// page makes a Source with one page and some texts.
func source(content, texts string) Source {
	return fstest.MapFS{
		"templates/one.html": {Data: []byte(`{{define "content"}}` + content + `{{end}}`)},
		"lang/en.json":       {Data: []byte(texts)},
	}
}

func newUI(t testing.TB, b Brand, content, texts string) *UI {
	t.Helper()
	u, err := New(Config{Brand: b, Sources: []Source{source(content, texts)}})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func mustBrand(t testing.TB, title, logo, accent string) Brand {
	t.Helper()
	b, err := NewBrand(title, []byte(logo), accent, "")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAssets(t *testing.T) {
	t.Parallel()
	u := newUI(t, mustBrand(t, "", svg, "#ff8800"), "", "{}")
	for _, a := range u.assets.all {
		for _, method := range []string{"GET", "HEAD"} {
			for _, zip := range []bool{true, false} {
				r := httptest.NewRequest(method, "/", nil)
				if zip {
					r.Header.Set("Accept-Encoding", "br;q=1.0, gzip;q=0.8")
				}
				rec := httptest.NewRecorder()
				if !u.Asset(rec, r, a.name()) {
					t.Fatalf("%s is not there", a.name())
				}
				h := rec.Header()
				if h.Get("Cache-Control") != "public, max-age=31536000, immutable" || h.Get("Vary") != "Accept-Encoding" ||
					h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Type") != mimes[a.ext] || !strings.Contains(h.Get("Content-Security-Policy"), "sandbox") {
					t.Errorf("%s: %v", a.name(), h)
				}
				if method == "HEAD" {
					if rec.Body.Len() != 0 || h.Get("Content-Length") == "" {
						t.Errorf("HEAD %s: %v with a body of %d", a.name(), h, rec.Body.Len())
					}
					continue
				}
				body := rec.Body.Bytes()
				if h.Get("Content-Encoding") == "gzip" {
					zr, err := gzip.NewReader(bytes.NewReader(body))
					if err != nil {
						t.Fatal(err)
					}
					if body, err = io.ReadAll(zr); err != nil {
						t.Fatal(err)
					}
				}
				if !bytes.Equal(body, a.plain) || (zip && a.zipped != nil) != (h.Get("Content-Encoding") == "gzip") {
					t.Errorf("%s, gzip %v: %v", a.name(), zip, h)
				}
			}
		}
	}
	if !strings.Contains(string(u.assets.css.plain), "--on-accent:light-dark(") || u.assets.icon != u.assets.logo {
		t.Error("the brand is not in the files")
	}
}

// A page loaded before a reload, or from another Caddy in the middle of an upgrade, still gets its files.
func TestAssetNamesAfterAChange(t *testing.T) {
	t.Parallel()
	before, after := newUI(t, Brand{}, "", "{}"), newUI(t, mustBrand(t, "", "", "#aa0000"), "", "{}")
	if before.assets.css.name() == after.assets.css.name() {
		t.Fatal("other content has the same name")
	}
	if before.assets.js.name() != after.assets.js.name() {
		t.Error("the same content has another name")
	}
	rec := httptest.NewRecorder()
	if !after.Asset(rec, httptest.NewRequest("GET", "/", nil), before.assets.css.name()) || rec.Header().Get("Cache-Control") != "no-cache" {
		t.Errorf("the name of before: %v", rec.Header())
	}
	for _, name := range []string{"", "app.css", "app..css", "app.0123456789abcdef.js.map", "app.XXXXXXXXXXXXXXXX.css", "app.0123.css", "../app.css", "app.0123456789abcdef0.css", "logo.0123456789abcdef.png"} {
		if after.Asset(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), name) {
			t.Errorf("there is a file %q", name)
		}
	}
}
