// Package caddyauth is where Caddy meets the gate: the app (`gatehouse`), the handler (`http.handlers.gatehouse`) and
// the Caddyfile. It is the only package, with the root and cmd, that imports Caddy.
//
// # The way of a request
//
//	client ── Caddy ── preHandler.ServeHTTP: before all routes, error routes too     (prehandler.go)
//	                     │ redact: no secret of an address in a log                  (redact.go)
//	                     │ receive: what was asked for, before any rewrite           (request.go, forwarded.go)
//	                     │ strip: only the gate sets identity, and our cookies       (identity.go)
//	                   routes, some of which bypass the gate                         (warnings: ungated.go, plan.go)
//	                     │ or do not lead there: our pages are before these          (reachable.go, sitepages.go)
//	                     │
//	                   Gate.ServeHTTP                                                (gate.go)
//	                     ├─ below the prefix ──────────────► internal/site           (servepages.go)
//	                     │ check: what does not depend on the session
//	                     ├─ not selected by the matchers ──► next, no identity       (matcher.go)
//	                     ├─ a token of a program ──────────► it alone counts           (credential.go)
//	                     ├─ public path ───────────────────► next, no identity       (internal/policy)
//	                     │ resolve: token → SHA-256 → cache or store; of several, the live one   (internal/session)
//	                     │ decide: the session, the rules                            (internal/policy)
//	                     ├─ no session, optional path ─────► next, no identity
//	                     ├─ no session ────────────────────► 302 | 401 page | 401 problem+json  (deny.go, requestkind.go)
//	                     ├─ a rule is not satisfied ───────► 403
//	                     ├─ any error ─────────────────────► 503
//	                     └─ allowed: pass on                                         (pass.go)
//	                          identity headers, placeholders ► next                  (identity.go)
//	                          ├ bytes that move are use of the session              (internal/runtime)
//	                          └ canceled when the session ends, identity removed afterwards
//
// Every arrow to the right that is not "next" is a response written here. None is an error returned to Caddy: its error
// routes run outside of the gate, and `handle_errors { reverse_proxy … }` would let anybody through. Errors of requests
// that were passed on do get there: the preHandler before them has the gate decide again, and what they do ends with
// the session.
//
// # The way of an option
//
//	session { idle 12h }   session.go: parseSession ► SessionConfig (JSON) ► resolveSession ► options ► sessionSettings
//
// Each option has a file named after it, for the global option as for the directive (options.go, caddyfile.go).
//
// # The way of a sign-in
//
//	POST /_auth/login ── web.Router: route                                          (internal/web)
//	                       │ newRequest: session cookie, client address, language
//	                       │ admit: who may use the route
//	                     signin.Login.post: reads the form                            (internal/web/signin)
//	                       │
//	                     login.Service.CheckPassword
//	                       │ throttle: client address, then account                   (counted before the outcome)
//	                       │ one hash, for known and unknown names alike              (internal/password)
//	                     login.Service.SignIn: one transaction
//	                       │ ends the session of the request
//	                       │ starts a new one with a new token, records the browser, writes the audit log
//	                     returnto.Guard: where the browser may return ── 303          (internal/returnto, wayback.go)
//
//	any error ── problem.Of ── a page, or problem+json                                (internal/problem)
//
// # What lives how long
//
//	one request        request
//	one configuration  App, Gate, live: rules, pages, providers' settings
//	one store          runtime: open store, sessions in memory, streams, throttle, counters (internal/runtime, pool.go)
//
// Caddy provisions a new configuration before it stops the old one, starts apps in no order, and does not wait for
// requests in progress. So Provision changes nothing, Start opens and seeds, requests wait a moment for Start, Stop
// does nothing, and Cleanup releases the runtime, which closes when no configuration uses it. Where PostgreSQL is not
// there yet when a process starts, Start returns, the gates stay closed, and the rest is done when it is (start.go).
//
// # What is not trusted
//
//   - The client: identity headers in any spelling, Connection, trailers, upgrades, X-Forwarded-*, ambiguous paths,
//     cookies. See identity.go, internal/policy and internal/session.
//   - Caddy's path matchers, where an upstream may read a path otherwise (policy.Target, matcher.go).
//   - The upstream: it gets the identity, and never our cookies.
//   - The store: when it does not respond, the gate is closed, never open.
package caddyauth
