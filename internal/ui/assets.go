package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

//go:embed static
var static embed.FS

// asset is a file that pages refer to, under a name that holds a hash of its content.
type asset struct {
	base, ext, hash string
	mime            string
	plain, zipped   []byte // zipped is nil where it would not be smaller
}

func (a *asset) name() string { return a.base + "." + a.hash + "." + a.ext }

var mimes = map[string]string{
	"css":  "text/css; charset=utf-8",
	"js":   "text/javascript; charset=utf-8",
	"svg":  "image/svg+xml",
	"png":  "image/png",
	"jpg":  "image/jpeg",
	"webp": "image/webp",
}

func newAsset(base, ext string, content []byte) (*asset, error) {
	sum := sha256.Sum256(content)
	a := &asset{base: base, ext: ext, hash: hex.EncodeToString(sum[:8]), mime: mimes[ext], plain: content}
	var buf bytes.Buffer
	zw, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return nil, fmt.Errorf("compressing %s.%s: %w", base, ext, err)
	}
	if _, err := zw.Write(content); err != nil {
		return nil, fmt.Errorf("compressing %s.%s: %w", base, ext, err)
	}
	if err := zw.Close(); err != nil {
		return nil, fmt.Errorf("compressing %s.%s: %w", base, ext, err)
	}
	if buf.Len() < len(content) {
		a.zipped = buf.Bytes()
	}
	return a, nil
}

// assets are the files of one look.
type assets struct {
	css, js, icon, logo *asset // logo is nil without one
	all                 []*asset
}

// newAssets makes the files for a brand. The accent is part of the one style sheet, so that a page costs no further
// request; an operator's logo serves as the icon of the tab, too.
func newAssets(b Brand) (*assets, error) {
	var s assets
	add := func(dst **asset, base, ext string, content []byte, err error) error {
		if err != nil {
			return fmt.Errorf("reading %s.%s: %w", base, ext, err)
		}
		if *dst, err = newAsset(base, ext, content); err == nil {
			s.all = append(s.all, *dst)
		}
		return err
	}
	css, err := static.ReadFile("static/app.css")
	if err := add(&s.css, "app", "css", append(css, b.accent.css()...), err); err != nil {
		return nil, err
	}
	js, err := static.ReadFile("static/app.js")
	if err := add(&s.js, "app", "js", compactScript(js), err); err != nil {
		return nil, err
	}
	icon, err := static.ReadFile("static/icon.svg")
	if err := add(&s.icon, "icon", "svg", icon, err); err != nil {
		return nil, err
	}
	if len(b.logo) > 0 {
		if err := add(&s.logo, "logo", b.logoExt, b.logo, nil); err != nil {
			return nil, err
		}
		s.icon = s.logo
	}
	return &s, nil
}

// compactScript returns a script without its indentation and the lines that are comments: what browsers have no use for
// is a fifth of it. A script must not have a text over several lines, which would lose its indentation, too.
func compactScript(js []byte) []byte {
	out := make([]byte, 0, len(js))
	for line := range bytes.Lines(js) {
		line = bytes.TrimLeft(line, " ")
		if !bytes.HasPrefix(line, []byte("//")) && len(bytes.TrimSpace(line)) > 0 {
			out = append(out, line...)
		}
	}
	return out
}

// find returns the file of that name. current is false for an older or newer hash of a file that exists: a page
// loaded from before a reload, or from another Caddy in the middle of an upgrade, gets today's file instead of none.
func (s *assets) find(name string) (a *asset, current bool) {
	for _, a := range s.all {
		if a.name() == name {
			return a, true
		}
	}
	for _, a := range s.all {
		hash, ok := strings.CutPrefix(name, a.base+".")
		if !ok {
			continue
		}
		if hash, ok = strings.CutSuffix(hash, "."+a.ext); ok && len(hash) == len(a.hash) && isHex(hash) {
			return a, false
		}
	}
	return nil, false
}

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// Asset serves the file of that name and reports whether there is one. The caller has checked the method.
func (u *UI) Asset(w http.ResponseWriter, r *http.Request, name string) bool {
	a, current := u.assets.find(name)
	if a == nil {
		return false
	}
	h := w.Header()
	h.Set("Content-Type", a.mime)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Robots-Tag", "noindex, nofollow")
	h.Set("Referrer-Policy", "same-origin")
	// An SVG is a document when it is opened by itself: it may not run or load anything.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox")
	h.Set("Vary", "Accept-Encoding")
	if current {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	body := a.plain
	if a.zipped != nil && acceptsGzip(r.Header) {
		h.Set("Content-Encoding", "gzip")
		body = a.zipped
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the browser went away: nobody to tell
	}
	return true
}
