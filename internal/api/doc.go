// Package api is the JSON API: every endpoint below /api/v1, the types that travel, the pages of its lists, and
// openapi.json, which describes them.
//
// Each noun has one file with its handlers, its types and its routes: a new endpoint is a handler and a route there.
// The description is made from the routes, so that an endpoint cannot be described and not exist, or the other way
// round. Like the admin pages, the API only translates: what somebody may do is decided in internal/account.
//
// The command line prints the same types, and the admin pages read the same queries (query.go).
package api
