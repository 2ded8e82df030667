package caddyauth_test

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The model of the differential test. It knows nothing of the gate's code: what a site asks for, how some upstream may
// read a path, and no more. Where it doubts it denies.

// siteModel is what a site's operator wrote.
type siteModel struct {
	gates    []gateModel
	rewrites bool // the upstream is asked for something else than the client did
}

// gateModel is one directive: it closes what its matcher selects but for the paths that it opens.
type gateModel struct {
	match matcherModel
	open  []string // public and optional paths
}

// matcherModel is a set of conditions that all have to match; an empty one always does.
type matcherModel struct {
	paths  []string // exact, /prefix/*, or *suffix
	regexp string
	not    bool // the paths are those that it does not select
	method string
	host   string
	header string
}

// asked is a request as it was sent, or as the upstream received it.
type asked struct {
	method, target, host string
	header               bool // it has the header that matchers look for
}

// denies reports whether the upstream must not have received an anonymous request as got.
func (s siteModel) denies(sent, got asked) bool {
	if !strings.HasPrefix(sent.target, "/") {
		return true
	}
	for _, g := range s.gates {
		selected := g.match.selects(sent, got.target) || !s.rewrites && g.match.selects(sent, sent.target)
		if selected && !g.opens(sent.target) {
			return true
		}
	}
	return false
}

// opens reports whether a path is open on purpose: as it is written, and however it is read.
func (g gateModel) opens(target string) bool {
	p, _, _ := strings.Cut(target, "?")
	open := func(p string) bool {
		return slices.ContainsFunc(g.open, func(pattern string) bool {
			dir, prefix := strings.CutSuffix(pattern, "*")
			return p == pattern || prefix && strings.HasPrefix(p, dir)
		})
	}
	for reading := range readings(p) {
		if !open(reading) {
			return false
		}
	}
	return open(p)
}

// selects reports whether the matcher selects any reading of the target.
func (m matcherModel) selects(r asked, target string) bool {
	if m.method != "" && m.method != r.method || m.host != "" && !strings.EqualFold(m.host, r.host) || m.header != "" && !r.header {
		return false
	}
	if len(m.paths) == 0 && m.regexp == "" {
		return true
	}
	if !strings.HasPrefix(target, "/") {
		return true
	}
	p, _, _ := strings.Cut(target, "?")
	for reading := range readings(p) {
		if m.path(reading) != m.not {
			return true
		}
	}
	return false
}

func (m matcherModel) path(reading string) bool {
	reading = strings.ToLower(reading)
	if m.regexp != "" {
		return regexp.MustCompile(m.regexp).MatchString(reading)
	}
	for _, pattern := range m.paths {
		pattern = strings.ToLower(pattern)
		if dir, ok := strings.CutSuffix(pattern, "*"); ok && strings.HasPrefix(reading, dir) {
			return true
		}
		if end, ok := strings.CutPrefix(pattern, "*"); ok && strings.HasSuffix(reading, end) {
			return true
		}
		if reading == pattern {
			return true
		}
	}
	return false
}

// lenient are the things that some upstream does to a path before it looks at it.
var lenient = []func(string) string{
	decodeOnce,
	func(p string) string { return strings.ReplaceAll(p, `\`, "/") },
	func(p string) string {
		return eachSegment(p, func(s string) string { s, _, _ = strings.Cut(s, ";"); return s })
	},
	func(p string) string { return cutAny(p, "?#\x00") },
	func(p string) string { return eachSegment(p, trimSegment) },
	func(p string) string {
		for strings.Contains(p, "//") {
			p = strings.ReplaceAll(p, "//", "/")
		}
		return p
	},
	func(p string) string {
		clean := path.Clean("/" + p)
		if clean != "/" && (strings.HasSuffix(p, "/") || strings.HasSuffix(p, "/.") || strings.HasSuffix(p, "/..")) {
			clean += "/"
		}
		return clean
	},
}

// encoded are escapes of what never needs one: with or without, it is the same address to everybody (RFC 3986, section
// 6.2.2.2).
var encoded = regexp.MustCompile(`%(3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|2[dD]|5[fF]|7[eE])`)

// readings returns a path as it is and as upstreams may read it, doing any of those things in any order, some twice.
func readings(p string) map[string]bool {
	p = encoded.ReplaceAllStringFunc(p, decodeOnce)
	all, next := map[string]bool{p: true}, []string{p}
	for range 6 {
		var found []string
		for _, p := range next {
			for _, read := range lenient {
				if q := read(p); !all[q] && len(all) < 500 {
					all[q] = true
					found = append(found, q)
				}
			}
		}
		next = found
	}
	return all
}

func decodeOnce(p string) string {
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		if p[i] == '%' && i+2 < len(p) {
			if hi, lo := strings.IndexByte(hexDigits, lower(p[i+1])), strings.IndexByte(hexDigits, lower(p[i+2])); hi >= 0 && lo >= 0 {
				b.WriteByte(byte(hi<<4 | lo))
				i += 2
				continue
			}
		}
		b.WriteByte(p[i])
	}
	return b.String()
}

const hexDigits = "0123456789abcdef"

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

func eachSegment(p string, change func(string) string) string {
	segments := strings.Split(p, "/")
	for i, s := range segments {
		segments[i] = change(s)
	}
	return strings.Join(segments, "/")
}

// trimSegment drops blanks around a name and dots behind it, as file systems do; dot segments stay.
func trimSegment(s string) string {
	if t := strings.Trim(s, " \t"); t == "." || t == ".." {
		return t
	}
	return strings.TrimRight(strings.Trim(s, " \t"), ". \t")
}

func cutAny(p, chars string) string {
	if i := strings.IndexAny(p, chars); i >= 0 {
		return p[:i]
	}
	return p
}

// The model itself: what it has to deny, and what it must not, or the test would prove nothing.
func TestTheModelOfTheDifferentialTest(t *testing.T) {
	guard := func(patterns ...string) siteModel {
		return siteModel{gates: []gateModel{{match: matcherModel{paths: patterns}, open: []string{"/open/*", "/health"}}}}
	}
	not := siteModel{gates: []gateModel{{match: matcherModel{paths: []string{"/static/*"}, not: true}}}}
	for _, c := range []struct {
		site  siteModel
		deny  []string
		allow []string
	}{
		{guard("/admin", "/admin/*"), []string{
			"/admin", "/admin/x", "/ADMIN/x", "/admin%3fx", "/admin%23x", "/admin%20", "/admin%09", "/admin./x", "/admin;x", "//admin", "/%61dmin", "/%2561dmin", "/x/../admin", "/x/%2e%2e/admin",
			"/x/..;/admin", `/x\..\admin`, "/x%5c..%5cadmin", "/admin%00", "/admin#x", "/./admin", "/admin%2fx", "/open/../admin", "/open/..%2fadmin/", "/%20admin", "*", "", "http://a.test/x", "a.test:80",
		}, []string{"/", "/x", "/adminx", "/x/admin", "/admin-x", "/open/x", "/x?/admin", "/caf%C3%A9"}},
		{guard("/*"), []string{"/", "/x", "/open/../x", "/open/%2e%2e/x", "/open", "/openx", "/Open/x", "/health/", "/health%20", "/x?/open/", "/%6fpen/x", "/open%2f/x"}, []string{"/open/x", "/health", "/open/x?y", "/open/", "/open/%78", "/open/caf%C3%A9"}},
		{not, []string{"/", "/x", "/static", "/static/../x", "/static%2fx", "/staticx", "/static/..;/x"}, []string{"/static/x", "/static/", "/static/x?../../y", "/%73tatic/x", "/STATIC/x"}},
	} {
		for want, targets := range map[bool][]string{true: c.deny, false: c.allow} {
			for _, target := range targets {
				if got := c.site.denies(asked{target: target}, asked{target: target}); got != want {
					t.Errorf("%+v: %q is denied: %v", c.site, target, got)
				}
			}
		}
	}
}
