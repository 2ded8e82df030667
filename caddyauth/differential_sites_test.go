package caddyauth_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// diffSite is a site of the differential test: its Caddyfile, and the model of it.
type diffSite struct {
	siteModel
	addr, lines string
}

// diffPaths are what matchers and lists are made of. Requests are made of the same, so that they meet.
var diffPaths = []string{"/admin", "/admin/*", "/private/*", "/a/b/*", "/api/v1/*", "/x", "*.php", "/Files/*"}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// newDiffSite makes a site at random.
func newDiffSite(r *rand.Rand, upstream string) diffSite {
	var s diffSite
	var b strings.Builder
	for i := range 1 + r.IntN(3) {
		m, define, use := newDiffMatcher(r, i)
		g := gateModel{match: m}
		b.WriteString(define)
		b.WriteString("gatehouse" + use + " {\n")
		for _, list := range []string{"public", "optional"} {
			if r.IntN(3) == 0 {
				open := pick(r, "/open/*", "/health", "/admin/public/*", "/static/*")
				if len(g.open) == 0 || g.open[0] != open {
					g.open = append(g.open, open)
					b.WriteString(list + " " + open + "\n")
				}
			}
		}
		if r.IntN(4) == 0 {
			b.WriteString("api /api/*\n")
		}
		b.WriteString("}\n")
		s.gates = append(s.gates, g)
	}
	before := ""
	if r.IntN(3) == 0 {
		s.rewrites = true
		before = pick(r, "uri strip_prefix /app", "rewrite /old/* /admin{path}", "uri replace /old /admin", "rewrite * {path}?{query}&y", "uri path_regexp /{2,} /", "rewrite /to/* {path.1}/x") + "\n"
	}
	app := "reverse_proxy " + upstream + "\n"
	switch inner := before + b.String() + app; r.IntN(4) {
	case 0:
		s.lines = "handle {\n" + inner + "}\n"
	case 1:
		s.lines = "route {\n" + inner + "}\n"
	case 2:
		s.lines = "handle /webhook/* {\nreverse_proxy " + upstream + " {\nheader_up X-Beside yes\n}\n}\nhandle {\n" + inner + "}\n"
	default:
		s.lines = inner
	}
	return s
}

// newDiffMatcher makes a matcher at random: the model, its definition and its use.
func newDiffMatcher(r *rand.Rand, n int) (m matcherModel, define, use string) {
	some := func() string {
		m.paths = []string{pick(r, diffPaths...)}
		if r.IntN(2) == 0 {
			m.paths = append(m.paths, pick(r, diffPaths...))
		}
		return strings.Join(m.paths, " ")
	}
	name := fmt.Sprintf("@m%d", n)
	switch r.IntN(8) {
	case 0:
		return m, "", ""
	case 1:
		m.paths = []string{pick(r, "/admin/*", "/private/*", "/x", "/*")}
		return m, "", " " + m.paths[0]
	case 2:
		define = "path " + some()
	case 3:
		m.regexp = pick(r, `^/admin(/|$)`, `^/private/`, `\.php$`)
		define = "path_regexp " + m.regexp
	case 4:
		m.not = true
		m.paths = []string{pick(r, "/open/*", "/static/*")}
		define = "not path " + m.paths[0]
	case 5:
		m.paths = []string{pick(r, "/admin/*", "/a/b/*", "/*")}
		define = fmt.Sprintf("expression `path('%s')`", m.paths[0])
	case 6:
		m.method = "POST"
		define = "method POST\n"
		if r.IntN(2) == 0 {
			define += "path " + some()
		}
	default:
		m.header = "X-Guard"
		define = "header X-Guard *\n"
		if r.IntN(2) == 0 {
			m.host = "a.test"
			define += "host a.test\n"
		}
	}
	return m, name + " {\n" + define + "\n}\n", " " + name
}

// diffTarget makes a request target at random: a path that means something to some site, spelled oddly.
func diffTarget(r *rand.Rand, addr string) string {
	base := pick(r, "/admin", "/admin/x", "/admin/", "/private/x", "/a/b/c", "/api/v1/u", "/x", "/i.php", "/files/1", "/open/x", "/health", "/static/a", "/admin/public/x",
		"/", "/webhook/x", "/old/x", "/app/admin/x", "/to/admin", "/open/../admin/x", "/elsewhere")
	for range r.IntN(4) {
		at := r.IntN(len(base) + 1)
		switch r.IntN(7) {
		case 0, 1:
			base = base[:at] + pick(r, odd...) + base[at:]
		case 2:
			base += pick(r, odd...) + pick(r, "", "x", "/x")
		case 3:
			base = pick(r, "/", "/.", "/x/..", "/open/..", "/x/..;", "/%2e%2e", `/x\..`, "/open/%2e%2e", "/static/..%2f", "//", "/open/..%5c", "/;x") + base
		case 4: // one character encoded
			if at < len(base) {
				base = base[:at] + fmt.Sprintf(pick(r, "%%%02x", "%%%02X", "%%25%02x"), base[at]) + base[at+1:]
			}
		case 5:
			if at < len(base) {
				base = base[:at] + strings.ToUpper(base[at:])
			}
		default:
			base = strings.Replace(base, "/", pick(r, "//", "/./", "%2f", `\`, "%5c", "/;/", "%252f", "/%20/"), 1+r.IntN(2))
		}
	}
	if r.IntN(4) == 0 {
		base += pick(r, "?", "?x=/open/", "?/../open/x", "#/open/", "?x#y")
	}
	switch r.IntN(14) {
	case 0:
		return pick(r, "http://"+addr, "http://a.test", "HTTP://a.test:80", "https://a.test", "http://u@a.test") + base
	case 1:
		return pick(r, "*", "http://a.test", "http://a.test?x=1", "a.test:80", "x", "?x", "%2fadmin", `\admin`, "http:/admin", "http:admin", "//a.test/admin", "http://a.test#/x", "/%", "/admin%", "/%zz")
	}
	return base
}

// odd are the pieces that readers of paths differ about.
var odd = []string{
	"%3f", "%23", "%20", "%09", "%00", "%0a", ".", "..", "./", "../", "/..", "/.", ";", ";x=1", "..;", "%2e", "%2E%2e", "%2f", "%5c", `\`, "%25", "%252e", "%252f", "%3b", "//", "/",
	"%c0%af", "%c0%ae", "%e3%80%82", "%ef%bc%8f", "+", "%2b", "~", "*", "%2a", ":", "@", "&", "=", "%20/", "./x", "%2e/", "%2520", "%253f", "%7f", "\u00e9", "%", "#", "|", "\"", "<", "^", "%u002f",
}
