package caddyauth

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// plan is what a server does with requests, as far as it matters for which requests reach which app. It is read while
// Caddy provisions the server: some of its routes are modules already, others still JSON; both become the same here.
type plan struct {
	listen string
	path   string // of the server in the configuration
	apart  bool   // strangers do not get there: it asks for certificates, or only this machine does
	secure bool   // browsers use HTTPS, or may
	routes []*planRoute
	errors []*planRoute
	named  map[string]*planRoute
}

// planRoute is one route.
type planRoute struct {
	hosts      []string
	paths      []string
	others     []string // names of the other matchers
	sets       []planSet
	anyRequest bool // it has no matchers
	group      string
	terminal   bool
	handlers   []*planHandler
	hostMatch  []caddyhttp.RequestMatcherWithError // its matchers of hosts
}

// planHandler is one handler.
type planHandler struct {
	name   string
	path   string // in the configuration
	detail string // the upstreams of a proxy
	at     string // of a gate, its file and line
	rules  []Rule // of a gate

	anyAudience bool   // of a gate: it signs identities for the host that was asked for
	invoke      string // of invoke, the named route
	passThru    bool   // of a file server: it passes on what it does not have
	asks        bool   // of a proxy: it asks another server whether to go on (forward_auth)
	rewrites    bool   // it gives a request another path
	lists       []planList
}

// planList is a list of routes within a handler.
type planList struct {
	errors bool // the error routes of a subroute
	routes []*planRoute
}

// readPlan reads a server.
func readPlan(srv *caddyhttp.Server) (*plan, error) {
	p := &plan{path: "apps/http/servers/" + srv.Name(), named: make(map[string]*planRoute)}
	p.listen = strings.TrimPrefix(strings.Join(srv.Listen, " "), "tcp/")
	var err error
	if p.routes, err = readRoutes(srv.Routes, p.path+"/routes"); err != nil {
		return nil, err
	}
	if srv.Errors != nil {
		if p.errors, err = readRoutes(srv.Errors.Routes, p.path+"/errors/routes"); err != nil {
			return nil, err
		}
	}
	for name, r := range srv.NamedRoutes {
		if p.named[name], err = readRoute(r, p.path+"/named_routes/"+name); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func readRoutes(routes caddyhttp.RouteList, path string) ([]*planRoute, error) {
	var list []*planRoute
	for i := range routes {
		r, err := readRoute(&routes[i], path+"/"+strconv.Itoa(i))
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

func readRoute(r *caddyhttp.Route, path string) (*planRoute, error) {
	out := &planRoute{
		group: r.Group, terminal: r.Terminal, anyRequest: len(r.MatcherSets) == 0 && len(r.MatcherSetsRaw) == 0,
	}
	for _, set := range r.MatcherSetsRaw {
		out.readRawSet(set)
	}
	for _, set := range r.MatcherSets {
		out.readSet(set)
	}
	out.sets = append(readRawSets(r.MatcherSetsRaw), readSets(r.MatcherSets)...)
	if r.HandlersRaw == nil {
		for i, h := range r.Handlers {
			ph, err := readHandler(h, path+"/handle/"+strconv.Itoa(i))
			if err != nil {
				return nil, err
			}
			out.handlers = append(out.handlers, ph)
		}
		return out, nil
	}
	for i, raw := range r.HandlersRaw {
		ph, err := readRawHandler(raw, path+"/handle/"+strconv.Itoa(i))
		if err != nil {
			return nil, err
		}
		out.handlers = append(out.handlers, ph)
	}
	return out, nil
}

// readRawSet reads one set of matchers. Of several sets, each of which is enough, all hosts count; a set without any is
// for every host.
func (r *planRoute) readRawSet(set caddy.ModuleMap) {
	for name, raw := range set {
		var values []string
		known := json.Unmarshal(raw, &values) == nil
		if hosts := caddyhttp.MatchHost(values); name == "host" && known && hosts.Provision(caddy.Context{}) == nil {
			r.hostMatch = append(r.hostMatch, hosts) // Provision spells the names as in the routes that are modules
		}
		r.addMatcher(name, values, known)
	}
	if _, ok := set["host"]; !ok {
		r.hosts = append(r.hosts, "*")
	}
}

func (r *planRoute) readSet(set caddyhttp.MatcherSet) {
	found := false
	for _, m := range set {
		switch m := m.(type) {
		case *caddyhttp.MatchHost:
			r.addMatcher("host", *m, true)
			r.hostMatch, found = append(r.hostMatch, *m), true
		case *caddyhttp.MatchPath:
			r.addMatcher("path", *m, true)
		default:
			r.addMatcher(caddy.GetModuleName(m), nil, false)
		}
	}
	if !found {
		r.hosts = append(r.hosts, "*")
	}
}

func (r *planRoute) addMatcher(name string, values []string, known bool) {
	switch {
	case name == "host" && known:
		r.hosts = append(r.hosts, values...)
	case name == "path" && known:
		r.paths = append(r.paths, values...)
	case !slices.Contains(r.others, name):
		r.others = append(r.others, name)
		slices.Sort(r.others)
	}
}

// anyHost reports whether the route looks at no host.
func (r *planRoute) anyHost() bool { return len(r.hosts) == 0 || slices.Contains(r.hosts, "*") }

// hostsOnly reports whether the route looks at nothing but hosts.
func (r *planRoute) hostsOnly() bool { return len(r.paths) == 0 && len(r.others) == 0 }

// exclusive reports whether no route after it sees requests for its hosts. In a group another route may have been taken
// instead.
func (r *planRoute) exclusive() bool { return r.terminal && r.hostsOnly() && r.group == "" }

// readRawHandler reads a handler that is still JSON.
func readRawHandler(raw json.RawMessage, path string) (*planHandler, error) {
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	h := &planHandler{path: path}
	h.name, _ = fields["handler"].(string)
	h.describe(fields)
	var failed error
	findRaw(fields, path, func(list any, at string, errors bool) {
		text, _ := json.Marshal(list) // it was just parsed
		var routes caddyhttp.RouteList
		if err := json.Unmarshal(text, &routes); err != nil {
			failed = fmt.Errorf("%s: %w", at, err)
			return
		}
		read, err := readRoutes(routes, at)
		if err != nil {
			failed = err
		}
		h.lists = append(h.lists, planList{errors, read})
	})
	return h, failed
}

// findRaw finds the lists of routes in a handler, whatever the handler is.
func findRaw(v any, path string, found func(list any, path string, errors bool)) {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			at := path + "/" + key
			if isRoutes(v[key]) {
				found(v[key], at, strings.HasSuffix(path, "/errors"))
				continue
			}
			findRaw(v[key], at, found)
		}
	case []any:
		for i, e := range v {
			findRaw(e, path+"/"+strconv.Itoa(i), found)
		}
	}
}

// isRoutes reports whether v is a list of routes: of objects of which one has handlers.
func isRoutes(v any) bool {
	list, _ := v.([]any)
	return slices.ContainsFunc(list, func(e any) bool {
		route, _ := e.(map[string]any)
		_, ok := route["handle"].([]any)
		return ok
	})
}

// describe sets what distinguishes a handler from others of its name.
func (h *planHandler) describe(fields map[string]any) {
	switch h.name {
	case "gatehouse":
		h.at, _ = fields["at"].(string)
		h.rules = rawRules(fields["require"])
		signed, found := fields["assertion"].(map[string]any)
		audience, _ := signed["audience"].(string)
		h.anyAudience = found && audience == ""
	case "file_server":
		h.passThru, _ = fields["pass_thru"].(bool)
	case "invoke":
		h.invoke, _ = fields["name"].(string)
	case "rewrite": // what is stripped from a path that does not have it changes nothing
		h.rewrites = fields["uri"] != nil || fields["uri_substring"] != nil || fields["path_regexp"] != nil
	case "reverse_proxy":
		h.asks = fields["rewrite"] != nil && fields["handle_response"] != nil
		upstreams, _ := fields["upstreams"].([]any)
		var dials []string
		for _, u := range upstreams {
			m, _ := u.(map[string]any)
			if dial, _ := m["dial"].(string); dial != "" {
				dials = append(dials, dial)
			}
		}
		h.detail = strings.Join(dials, " ")
	}
}

// readHandler reads a handler that is a module.
func readHandler(mh caddyhttp.MiddlewareHandler, path string) (*planHandler, error) {
	h := &planHandler{path: path, name: caddy.GetModuleName(mh)}
	if fields := fieldsOf(mh); fields != nil {
		h.describe(fields)
	}
	for _, list := range routeLists(mh) {
		routes, err := readRoutes(list.routes, path+list.path)
		if err != nil {
			return nil, err
		}
		h.lists = append(h.lists, planList{strings.HasSuffix(list.path, "/errors/routes"), routes})
	}
	return h, nil
}

// fieldsOf returns a module's configuration, as far as it is exported; nil where that is unknown.
func fieldsOf(mh caddyhttp.MiddlewareHandler) map[string]any {
	text, err := json.Marshal(mh)
	if err != nil {
		return nil
	}
	var fields map[string]any
	if json.Unmarshal(text, &fields) != nil {
		return nil
	}
	return fields
}

// foundList is a list of routes within a module.
type foundList struct {
	path   string
	routes caddyhttp.RouteList
}

// routeLists finds the lists of routes within a handler that is a module, whatever the handler is.
func routeLists(mh caddyhttp.MiddlewareHandler) (out []foundList) {
	findLists(reflect.ValueOf(mh), "", 0, &out)
	return out
}

var routeListType = reflect.TypeFor[caddyhttp.RouteList]()

// maxDepth bounds how deep the fields of a module are searched.
const maxDepth = 8

func findLists(v reflect.Value, path string, depth int, out *[]foundList) {
	if depth > maxDepth || !v.IsValid() {
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		findLists(v.Elem(), path, depth+1, out)
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.IsExported() && tag != "-" && tag != "" {
				findLists(v.Field(i), path+"/"+tag, depth+1, out)
			}
		}
	case reflect.Slice:
		if v.Type().ConvertibleTo(routeListType) {
			if list, ok := v.Convert(routeListType).Interface().(caddyhttp.RouteList); ok && len(list) > 0 {
				*out = append(*out, foundList{path, list})
			}
			return
		}
		for i := range v.Len() {
			findLists(v.Index(i), path+"/"+strconv.Itoa(i), depth+1, out)
		}
	default:
	}
}
