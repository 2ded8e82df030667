// Package caddyauth is where Caddy meets the gate: the app (`gatehouse`), the handler (`http.handlers.gatehouse`), the
// Caddyfile, and what outlives a reload. It is the only package, with the root and cmd, that knows Caddy.
//
// # The way of a request
//
//	client ── Caddy ── entrance.ServeHTTP: before all routes, error routes too       (entrance.go)
//	                     │ arrive: what was asked for, before any rewrite            (visit.go)
//	                     │ strip: nobody but the gate says who is signed in          (identity.go)
//	                   routes, some of which no gate stands before                   (told at load: plan.go, ungated.go)
//	                     │
//	                   Gate.ServeHTTP                                                (gate.go)
//	                     ├─ below the prefix ──────────────► portal, admin pages     (internal/portal, admin)
//	                     ├─ not selected by the matchers ──► next, anonymous         (guards.go)
//	                     ├─ public path ───────────────────► next, anonymous         (internal/policy)
//	                     │ Resolve: token → SHA-256 → cache or store                 (internal/session)
//	                     ├─ nobody, optional path ─────────► next, anonymous
//	                     ├─ nobody ────────────────────────► 302 | 401 page | 401 problem+json
//	                     ├─ a rule does not hold ──────────► 403
//	                     ├─ anything went wrong ───────────► 503
//	                     └─ allowed: identity headers, placeholders, Follow ► next
//	                                                          └ canceled when the session ends, taken back after it
//
// Every arrow to the right that is not "next" is an answer written here. None is an error handed to Caddy: its error
// routes run outside of the gate, and `handle_errors { reverse_proxy … }` would let anybody through. Errors of what was let
// through do get there: the entrance before them has the gate judge again, and what they do ends with the session.
//
// # The way of a sign-in
//
//	POST /_auth/login ── portal ── login.Service.Password
//	                                 │ throttle: client address, then account        (counted before the outcome)
//	                                 │ one hash, for known and unknown names alike   (internal/password)
//	                               login.Service.SignIn: one transaction
//	                                 │ ends the session that came with the request
//	                                 │ begins a new one with a new token, notes the browser, writes the audit log
//	                               return-to guard ── 303
//
// # What lives how long
//
//	one request        visit
//	one configuration  App, Gate, live: rules, pages, providers' settings
//	one store          runtime: open store, sessions in memory, streams, throttle, counters (internal/runtime, pool.go)
//
// Caddy provisions a new configuration before it stops the old one, starts apps in no order, and does not wait for
// requests under way. So Provision changes nothing, Start opens and seeds, requests wait a moment for Start, Stop does
// nothing, and Cleanup gives the runtime back, which closes when no configuration holds it.
//
// # Whom not to believe
//
//   - The client: identity headers in any spelling, Connection, trailers, upgrades, X-Forwarded-*, paths that can be
//     read in two ways, cookies. See identity.go, internal/policy and internal/session.
//   - Caddy's path matchers, where an upstream may read a path otherwise (policy.Target, guards.go).
//   - The upstream: it is told who is signed in, and never sees our cookies.
//   - The store, when it does not answer: closed, never open.
package caddyauth
