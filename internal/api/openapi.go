package api

import (
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// openAPI is the endpoint for the description of the API (OpenAPI 3.1).
type openAPI struct {
	doc map[string]any // without the server: paths count from there
}

func (o *openAPI) routes() []web.Route {
	return []web.Route{
		{
			Method: http.MethodGet, Pattern: "/api/v1/openapi.json", Access: web.Admin, Handle: o.read,
			Doc: &web.Operation{Summary: "This description", Gives: map[string]any{}, Status: http.StatusOK},
		},
	}
}

func (o *openAPI) read(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	doc := maps.Clone(o.doc) // shared by all requests
	doc["servers"] = []any{map[string]any{"url": q.Prefix, "description": "this site"}}
	ui.WriteJSON(w, r, http.StatusOK, doc)
	return nil
}

// build makes the description from the routes that serve the API. Schemas come from the types that travel.
func (o *openAPI) build(routes []web.Route) error {
	paths := map[string]map[string]any{}
	for _, rt := range routes {
		switch {
		case rt.Doc != nil:
			if paths[rt.Pattern] == nil {
				paths[rt.Pattern] = map[string]any{}
			}
			paths[rt.Pattern][strings.ToLower(rt.Method)] = describe(rt.Pattern, rt.Method, *rt.Doc)
		case rt.Handle != nil:
			return fmt.Errorf("the JSON API's %s %s is not described", rt.Method, rt.Pattern)
		}
	}
	o.doc = document(paths)
	return nil
}

func document(paths map[string]map[string]any) map[string]any {
	return map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{
			"title": "Gatehouse", "version": "1",
			"description": "Addresses are below the mount prefix, which is the server. " +
				"Errors are problem documents (RFC 9457) whose type stays the same. " +
				"Callers with a session cookie must be of the same origin. " +
				"What changes other people's accounts needs a sign-in of the last 10 minutes.",
		},
		"paths": paths,
		"components": map[string]any{
			"schemas": map[string]any{"Problem": schema(reflect.TypeFor[problem.Document]())},
			"securitySchemes": map[string]any{
				"session": map[string]any{"type": "apiKey", "in": "cookie", "name": "__Host-gatehouse"},
			},
		},
		"security": []any{map[string]any{"session": []string{}}},
	}
}

func describe(pattern, method string, op web.Operation) map[string]any {
	out := map[string]any{"summary": op.Summary, "operationId": operationID(pattern, method)}
	var params []any
	for segment := range strings.SplitSeq(pattern, "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			params = append(params, parameter(strings.TrimSuffix(name, "}"), "path", true))
		}
	}
	for _, name := range op.Params {
		params = append(params, parameter(name, "query", false))
	}
	if op.ETag && (method == http.MethodPatch || method == http.MethodDelete) {
		params = append(params, parameter("If-Match", "header", false))
	}
	if params != nil {
		out["parameters"] = params
	}
	if op.Takes != nil {
		body := content("application/json", schema(reflect.TypeOf(op.Takes)))
		out["requestBody"] = map[string]any{"required": !op.Bare, "content": body}
	}
	done := map[string]any{"description": http.StatusText(op.Status)}
	if op.Gives != nil {
		done["content"] = content("application/json", schema(reflect.TypeOf(op.Gives)))
	}
	if op.ETag && op.Gives != nil {
		done["headers"] = map[string]any{"ETag": map[string]any{"schema": map[string]any{"type": "string"}}}
	}
	responses := map[string]any{
		strconv.Itoa(op.Status): done,
		"default": map[string]any{
			"description": "A problem document",
			"content":     content("application/problem+json", map[string]any{"$ref": "#/components/schemas/Problem"}),
		},
	}
	if op.Empty {
		responses[strconv.Itoa(http.StatusNoContent)] = map[string]any{"description": http.StatusText(http.StatusNoContent)}
	}
	out["responses"] = responses
	return out
}

// operationID names an operation after its method and address: "getUsersId".
func operationID(pattern, method string) string {
	var b strings.Builder
	b.WriteString(strings.ToLower(method))
	separates := func(r rune) bool { return strings.ContainsRune("/{}-.", r) }
	for part := range strings.FieldsFuncSeq(strings.TrimPrefix(pattern, "/api/v1"), separates) {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

// enums are parameters with a few values.
var enums = map[string][]string{
	"status": UserStatuses, "role": Roles, "kind": UserKinds, "outcome": Outcomes, "since": Periods,
	"mfa":  MFAStates,
	"sort": {"username", "-username", "email", "-email", "created", "-created", "last_login", "-last_login"},
}

func parameter(name, in string, required bool) map[string]any {
	s := map[string]any{"type": "string"}
	switch {
	case name == "limit":
		s = map[string]any{"type": "integer", "minimum": 1, "maximum": maxLimit, "default": defaultLimit}
	case name == "identity":
		s["pattern"] = "^[0-9a-f]{32}$"
	case in == "path":
		s["pattern"] = "^[0-9a-z]{26}$"
	case enums[name] != nil:
		s["enum"] = enums[name]
	}
	return map[string]any{"name": name, "in": in, "required": required, "schema": s}
}

func content(mime string, s map[string]any) map[string]any {
	return map[string]any{mime: map[string]any{"schema": s}}
}

// schema describes a type as encoding/json writes it.
func schema(t reflect.Type) map[string]any {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case t.Kind() == reflect.Pointer:
		return schema(t.Elem())
	}
	switch t.Kind() {
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schema(t.Elem())}
	case reflect.Map:
		if t.Elem().Kind() == reflect.String {
			return map[string]any{"type": "object", "additionalProperties": map[string]any{"type": "string"}}
		}
		return map[string]any{"type": "object"}
	case reflect.Struct:
		properties, required := map[string]any{}, []string{}
		members(t, properties, &required)
		s := map[string]any{"type": "object", "properties": properties}
		if len(required) > 0 {
			s["required"] = required
		}
		return s
	default:
		return map[string]any{"type": "string"}
	}
}

func members(t reflect.Type, properties map[string]any, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" && f.Anonymous {
			members(f.Type, properties, required)
			continue
		}
		if name == "-" {
			continue // does not travel
		}
		s := schema(f.Type)
		if values := f.Tag.Get("enum"); values != "" {
			s["enum"] = strings.Split(values, ",")
		}
		if strings.HasSuffix(name, "_at") && f.Type.Kind() == reflect.Pointer {
			s["type"] = []string{"string", "null"} // a time that may not have come
		}
		properties[name] = s
		if f.Tag.Get("need") != "" {
			*required = append(*required, name)
		}
	}
}
