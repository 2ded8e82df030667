package caddyauth_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/caddyauth"
)

// gateOf returns the running server's first gate.
func gateOf(b testing.TB) caddyhttp.MiddlewareHandler {
	b.Helper()
	gates := gatesOf(b)
	if len(gates) == 0 {
		b.Fatal("no gate in the running configuration")
	}
	return gates[0]
}

// gatesOf returns the gates of the running configuration.
func gatesOf(b testing.TB) (gates []caddyhttp.MiddlewareHandler) {
	b.Helper()
	app, err := caddy.ActiveContext().AppIfConfigured("http")
	if err != nil {
		b.Fatal(err)
	}
	for _, srv := range app.(*caddyhttp.App).Servers {
		gates = append(gates, findGates(srv.Routes)...)
	}
	return gates
}

func findGates(routes caddyhttp.RouteList) (gates []caddyhttp.MiddlewareHandler) {
	for _, r := range routes {
		for _, h := range r.Handlers {
			switch h := h.(type) {
			case *caddyauth.Gate:
				gates = append(gates, h)
			case *caddyhttp.Subroute:
				gates = append(gates, findGates(h.Routes)...)
			case interface{ Routes() caddyhttp.RouteList }: // what a request meets before all routes
				gates = append(gates, findGates(h.Routes())...)
			}
		}
	}
	return gates
}

var nextOK = caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
	w.WriteHeader(http.StatusOK)
	return nil
})

// discard is a ResponseWriter that costs nothing.
type discard struct {
	h      http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// benchRequest makes a request as a browser sends it, prepared as Caddy's server does.
func benchRequest(addr, cookie string) *http.Request {
	r := httptest.NewRequest("GET", "http://"+addr+"/some/path?x=1", nil)
	r.Header = http.Header{
		"User-Agent": {"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"},
		"Accept":     {"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"}, "Accept-Language": {"en"},
		"Accept-Encoding": {"gzip, deflate, br"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Site": {"none"},
		"Connection": {"keep-alive"},
	}
	if cookie != "" {
		r.Header["Cookie"] = []string{"theme=dark; gatehouse=" + cookie}
	}
	return r
}

// bench measures one request through h, with all that Caddy prepares for it; BenchmarkNothing is that alone, so that
// the gate's own cost is the difference.
func bench(b *testing.B, s *caddyServer, cookie string, h caddyhttp.MiddlewareHandler) {
	benchThrough(b, benchRequest(s.addr, cookie), h)
}

// benchThrough is [bench] of any request.
func benchThrough(b *testing.B, base *http.Request, h caddyhttp.MiddlewareHandler) {
	w := &discard{h: make(http.Header)}
	srv := &caddyhttp.Server{}
	b.ReportAllocs()
	for b.Loop() {
		r := base.Clone(base.Context())
		r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, srv)
		clear(w.h)
		if err := h.ServeHTTP(w, r, nextOK); err != nil {
			b.Fatal(err)
		}
	}
}

// benchSite measures one request through the whole server, whose app is a line of text: what comes before the gate, too.
// The gate's cost is what SiteWarm takes more than SiteNothing.
func benchSite(b *testing.B, site string, signedIn bool) {
	s := startAdmin(b, site+"\n\trespond ok")
	cookie := strings.Repeat("A", 43)
	if signedIn {
		br := s.browser()
		br.signIn(adminName, adminPass)
		br.reaches("/")
		cookie = br.cookie()
	}
	app, err := caddy.ActiveContext().AppIfConfigured("http")
	if err != nil {
		b.Fatal(err)
	}
	var srv *caddyhttp.Server
	for _, each := range app.(*caddyhttp.App).Servers {
		srv = each
	}
	base := benchRequest(s.addr, cookie)
	base.RequestURI = base.URL.RequestURI()
	base.URL.Scheme, base.URL.Host = "", ""
	w := &discard{h: make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		srv.ServeHTTP(w, base.Clone(base.Context()))
		if w.status != http.StatusOK {
			b.Fatal(w.status)
		}
	}
}

func BenchmarkSiteNothing(b *testing.B) { benchSite(b, "", false) }

func BenchmarkSiteWarm(b *testing.B) { benchSite(b, "gatehouse", true) }

type nothing struct{}

func (nothing) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	return next.ServeHTTP(w, r)
}

func BenchmarkNothing(b *testing.B) {
	s := startAdmin(b, "gatehouse")
	bench(b, s, strings.Repeat("A", 43), nothing{})
}

func BenchmarkGateWarm(b *testing.B) {
	s := startAdmin(b, "gatehouse")
	br := s.browser()
	br.signIn(adminName, adminPass)
	br.reaches("/")
	bench(b, s, br.cookie(), gateOf(b))
}

// A token is asked after as a cookie is: compare with GateWarm.
func BenchmarkGateToken(b *testing.B) {
	s := startAdmin(b, "gatehouse {\n\tbasic /*\n}", withGlobal("tokens"))
	token := s.addToken(adminName)
	for name, authorization := range map[string]string{"bearer": "Bearer " + token, "basic": basicAuth("x", token)} {
		b.Run(name, func(b *testing.B) {
			r := benchRequest("127.0.0.1", "")
			r.RequestURI = r.URL.RequestURI() // as servers get it, not as proxies do
			for _, ofBrowsers := range []string{"Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-Site"} {
				r.Header.Del(ofBrowsers)
			}
			r.Header.Set("Authorization", authorization)
			once := httptest.NewRecorder()
			first := caddyhttp.PrepareRequest(r.Clone(r.Context()), caddy.NewReplacer(), once, &caddyhttp.Server{})
			if err := gateOf(b).ServeHTTP(once, first, nextOK); err != nil || once.Code != http.StatusOK {
				b.Fatal(once.Code, err)
			}
			benchThrough(b, r, gateOf(b))
		})
	}
}

func BenchmarkGatePublic(b *testing.B) {
	s := startAdmin(b, "gatehouse {\n\tpublic /some/*\n}")
	bench(b, s, "", gateOf(b))
}

func BenchmarkGateAnonymous(b *testing.B) {
	s := startAdmin(b, "gatehouse")
	bench(b, s, "", gateOf(b))
}

// benchWarm measures warm requests of a site.
func benchWarm(b *testing.B, site string, around func(caddyhttp.MiddlewareHandler) caddyhttp.MiddlewareHandler) {
	s := startAdmin(b, site)
	br := s.browser()
	br.signIn(adminName, adminPass)
	br.reaches("/")
	bench(b, s, br.cookie(), around(gateOf(b)))
}

// constantHeader sets a header as long as an assertion before the gate, as request_header does.
type constantHeader struct {
	gate  caddyhttp.MiddlewareHandler
	value string
}

func (c constantHeader) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	r.Header.Set("X-Constant", c.value)
	return c.gate.ServeHTTP(w, r, next)
}

// A signed identity is to cost no more than 1.02 times the same with a constant header of its length.
func BenchmarkGateWarmConstantHeader(b *testing.B) {
	benchWarm(b, "gatehouse", func(g caddyhttp.MiddlewareHandler) caddyhttp.MiddlewareHandler {
		return constantHeader{g, strings.Repeat("x", 700)}
	})
}

func BenchmarkGateWarmAssertion(b *testing.B) {
	benchWarm(b, "gatehouse {\n\tassertion\n}", func(g caddyhttp.MiddlewareHandler) caddyhttp.MiddlewareHandler { return g })
}
