package caddyauth_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// places returns the places of the warnings about bypasses in the log, in the configuration loaded last.
func (s *caddyServer) places(text string) []string {
	s.t.Helper()
	before := len(s.logs.String())
	if err := s.reload(text); err != nil {
		s.t.Fatal(err)
	}
	// A log of Caddy is one stream: what the load logged comes before what is logged now.
	caddy.Log().Info("end of the load")
	eventually(s.t, "the end of the load", func() bool {
		return strings.Contains(s.logs.String()[before:], "end of the load")
	})
	var out []string
	for _, line := range strings.Split(s.logs.String()[before:], "\n") {
		if _, rest, ok := strings.Cut(line, `"place":"`); ok {
			place, _, _ := strings.Cut(rest, `"`)
			place = strings.ReplaceAll(strings.ReplaceAll(place, `\u003e`, ">"), s.up.Listener.Addr().String(), "UPSTREAM")
			out = append(out, strings.ReplaceAll(place, s.addr, "SITE"))
		}
	}
	slices.Sort(out)
	return out
}

// A load warns of each upstream that an anonymous request reaches past the gate of its site, and of no other.
func TestALoadWarnsOfUpstreamsWithoutAGate(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	for name, c := range map[string]struct {
		site, named string
		want        []string
	}{
		"a site behind its gate": {site: "gatehouse"},
		"a gate with a matcher":  {site: "gatehouse /admin/*"},
		"public paths":           {site: "gatehouse {\n\tpublic /hook/*\n}"},
		"a block of its own": {
			site: "handle /hook/* {\n\treverse_proxy UPSTREAM\n}\nhandle {\n\tgatehouse\n\treverse_proxy UPSTREAM\n}",
			want: []string{"127.0.0.1 > /hook/* > reverse_proxy UPSTREAM"},
		},
		"a gate in each block":       {site: "handle /a/* {\n\tgatehouse\n\treverse_proxy UPSTREAM\n}\nhandle {\n\tgatehouse\n\treverse_proxy UPSTREAM\n}"},
		"a gate in a route block":    {site: "route {\n\tgatehouse\n\thandle /a/* {\n\t\treverse_proxy UPSTREAM\n\t}\n\treverse_proxy UPSTREAM\n}"},
		"static answers":             {site: "handle /robots.txt {\n\trespond \"User-agent: *\"\n}\nhandle /old/* {\n\tredir * /new\n}\nhandle /files/* {\n\tencode gzip\n\theader X-A b\n\tfile_server\n}\nhandle /no {\n\tabort\n}\nhandle {\n\tgatehouse\n\treverse_proxy UPSTREAM\n}"},
		"files, else the app":        {site: "handle /x/* {\n\troute {\n\t\tfile_server {\n\t\t\tpass_thru\n\t\t}\n\t\treverse_proxy UPSTREAM\n\t}\n}\nhandle {\n\tgatehouse\n}", want: []string{"127.0.0.1 > /x/* > reverse_proxy UPSTREAM"}},
		"another guard":              {site: "handle /metrics {\n\tbasic_auth {\n\t\tbob $2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG\n\t}\n\treverse_proxy UPSTREAM\n}\nhandle {\n\tgatehouse\n\treverse_proxy UPSTREAM\n}"},
		"errors to the app":          {site: "gatehouse\nhandle_errors {\n\treverse_proxy UPSTREAM\n}", want: []string{"127.0.0.1 > handle_errors > reverse_proxy UPSTREAM"}},
		"some errors to the app":     {site: "gatehouse\nhandle_errors 404 {\n\thandle /x/* {\n\t\treverse_proxy UPSTREAM\n\t}\n\trespond \"no\"\n}", want: []string{"127.0.0.1 > handle_errors @expression /x/* > reverse_proxy UPSTREAM"}},
		"errors behind a gate":       {site: "gatehouse\nhandle_errors {\n\tgatehouse\n\treverse_proxy UPSTREAM\n}"},
		"errors answered here":       {site: "gatehouse\nhandle_errors {\n\trewrite * /{err.status_code}.html\n\tfile_server\n}"},
		"a named route":              {site: "handle /hook {\n\tinvoke app\n}\nhandle {\n\tgatehouse\n\tinvoke app\n}", named: "&(app) {\n\treverse_proxy UPSTREAM\n}", want: []string{"127.0.0.1 > /hook &(app) > reverse_proxy UPSTREAM"}},
		"a named gate":               {site: "invoke gate", named: "&(gate) {\n\tgatehouse\n}"},
		"beside a named gate":        {site: "handle /hook {\n\treverse_proxy UPSTREAM\n}\nhandle {\n\tinvoke gate\n}", named: "&(gate) {\n\tgatehouse\n}", want: []string{"127.0.0.1 > /hook > reverse_proxy UPSTREAM"}},
		"in place of the gate's no":  {site: "route {\n\tintercept {\n\t\t@no status 401\n\t\thandle_response @no {\n\t\t\treverse_proxy UPSTREAM\n\t\t}\n\t}\n\tgatehouse\n}", want: []string{"127.0.0.1 > * > reverse_proxy UPSTREAM"}},
		"a gate that comes too late": {site: "route {\n\treverse_proxy /hook/* UPSTREAM\n\tgatehouse\n}", want: []string{"127.0.0.1 > /hook/* > reverse_proxy UPSTREAM"}},
		"a text before the gate":     {site: "route {\n\trespond \"x\"\n\tgatehouse\n}", want: []string{"127.0.0.1 > * > static_response"}},
		"files before the gate":      {site: "route {\n\tfile_server\n\tgatehouse /admin/*\n}", want: []string{"127.0.0.1 > * > file_server"}},
		"files in a block before":    {site: "route {\n\troute {\n\t\tfile_server\n\t}\n\thandle /a/* {\n\t\tgatehouse\n\t}\n}", want: []string{"127.0.0.1 > * > subroute"}},
		"blocks that respond before": {site: "route {\n\thandle /a/* {\n\t\trespond a\n\t}\n\thandle {\n\t\tfile_server\n\t}\n\tgatehouse\n}", want: []string{"127.0.0.1 > * > subroute"}},
		"blocks of which one passes": {site: "route {\n\thandle /a/* {\n\t\theader X-A b\n\t}\n\thandle {\n\t\tfile_server\n\t}\n\tgatehouse\n}"},
		"a gate in a later block":    {site: "route {\n\thandle {\n\t\tfile_server\n\t}\n\thandle {\n\t\tgatehouse\n\t\trespond x\n\t}\n}", want: []string{"127.0.0.1 > * > subroute"}},
		"blocks without a last one":  {site: "route {\n\thandle /a/* {\n\t\trespond a\n\t}\n\thandle /b/* {\n\t\tfile_server\n\t}\n\tgatehouse\n}"},
		"files that there are":       {site: "route {\n\tfile_server {\n\t\tpass_thru\n\t}\n\tgatehouse\n}", want: []string{"127.0.0.1 > * > file_server"}},
		"files behind a matcher":     {site: "@f file\nroute {\n\tfile_server @f\n\tgatehouse\n}", want: []string{"127.0.0.1 > @file > file_server"}},
		"a block behind a matcher":   {site: "@f file\nroute {\n\thandle @f {\n\t\tfile_server\n\t}\n\tgatehouse\n}", want: []string{"127.0.0.1 > @file > subroute"}},
		"files below a path":         {site: "route {\n\tfile_server /static/* {\n\t\tpass_thru\n\t}\n\tgatehouse\n}"},
		"files after the gate":       {site: "route {\n\tgatehouse\n\tfile_server {\n\t\tpass_thru\n\t}\n}"},
		"everything sent elsewhere":  {site: "redir https://x.test{uri}\ngatehouse", want: []string{"127.0.0.1 > * > static_response"}},
		"some sent elsewhere":        {site: "redir /old /new\nroute {\n\tfile_server /static/*\n\trespond /health ok\n\tgatehouse\n}"},
		"a gate for some hosts only": {site: "@x host a.example\nroute @x {\n\tgatehouse\n}", want: []string{"127.0.0.1 > * > reverse_proxy UPSTREAM"}},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			s.t, s.site = t, c.site
			got := s.places(strings.Replace(s.caddyfile(), "\nhttp://", "\n"+c.named+"\nhttp://", 1))
			if !slices.Equal(got, c.want) {
				t.Errorf("the log names %q, want %q", got, c.want)
			}
		})
	}
	s.t, s.site = t, "handle /hook {\n\theader X-A b\n}\nhandle {\n\tgatehouse\n}"
	for _, text := range []string{s.caddyfile(), s.everyHost(s.caddyfile())} {
		if got := s.places(text); len(got) != 1 || !strings.HasSuffix(got[0], " > * > reverse_proxy UPSTREAM") {
			t.Errorf("of an app after blocks of which one lets strangers on, the log names %q", got)
		}
	}
}

// With strict a warning about a configuration refuses it, also when it is only validated.
func TestStrictRefusesWarnings(t *testing.T) {
	s := startAdmin(t, "handle /hook {\n\treverse_proxy UPSTREAM\n}\nhandle {\n\tgatehouse\n}", withGlobal("strict"), func(s *caddyServer) { s.site = "gatehouse" })
	s.site = "handle /hook {\n\treverse_proxy UPSTREAM\n}\nhandle {\n\tgatehouse\n}"
	want := "127.0.0.1 > /hook > reverse_proxy " + s.up.Listener.Addr().String()
	if err := s.load(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "public") {
		t.Errorf("loaded: %v", err)
	}
	text, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(s.caddyfile()), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatal(err)
	}
	var cfg caddy.Config
	if err := caddy.StrictUnmarshalJSON(text, &cfg); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Validate(&cfg); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("validated: %v", err)
	}
}

// In JSON the place is a path, as Caddy's own API takes it.
func TestPlacesInJSONArePaths(t *testing.T) {
	const proxy = `{"handler":"reverse_proxy","upstreams":[{"dial":"UPSTREAM"}]}`
	s := startAdmin(t, "gatehouse", withGlobal("strict"))
	for place, routes := range map[string]string{
		"apps/http/servers/srv0/routes/0/handle/1:":                                     `[{"match":[{"path":["/x"]}],"handle":[{"handler":"headers"},` + proxy + `]},{"handle":[{"handler":"gatehouse"}]}]`,
		"apps/http/servers/srv0/routes/1/handle/0/routes/0/handle/0:":                   `[{"match":[{"path":["/x"]}],"handle":[{"handler":"gatehouse"}]},{"handle":[{"handler":"subroute","routes":[{"handle":[` + proxy + `]}]}]}]`,
		"apps/http/servers/srv0/routes/0/handle/0/handle_response/0/routes/0/handle/0:": `[{"match":[{"path":["/x"]}],"handle":[{"handler":"intercept","handle_response":[{"routes":[{"handle":[` + proxy + `]}]}]}]},{"handle":[{"handler":"gatehouse"}]}]`,
	} {
		err := s.loadJSON(func(server map[string]any) { server["routes"] = s.fromJSON(routes) })
		if err == nil || !strings.Contains(err.Error(), place) {
			t.Errorf("%v does not name %s", err, place)
		}
	}
	if err := s.loadJSON(func(server map[string]any) {
		server["routes"] = s.fromJSON(`[{"match":[{"host":["127.0.0.1"]}],"handle":[{"handler":"gatehouse"}]},{"match":[{"host":["127.0.0.1"]}],"handle":[` + proxy + `]}]`)
	}); err != nil {
		t.Errorf("a gate and its app in routes of one host: %v", err)
	}
}
