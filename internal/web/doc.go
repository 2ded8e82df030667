// Package web is the one way in for everything below the mount prefix: pages, the JSON API, assets. A [Router] takes a
// list of routes and decides once, for all of them, in which language the response is, who sends the request, and
// whether they may: the session, a password that has to be changed, the role, a recent sign-in, and requests of other
// sites (CSRF). Handlers get a [Request] that has passed, and return an error when they cannot do what was asked; the
// router writes it.
//
// It is plain net/http and knows nothing of Caddy: what it may know of a request comes from internal/reqctx.
//
// # The way of a request
//
//	Router.ServeHTTP   router.go        takes the mount prefix off, refuses tokens of programs but where a route
//	                                    takes them, and finds the route
//	newRequest         request.go       language, cookie, session token
//	admit              admit.go         from the route's Access: session, password change
//	admitAdmin         admit_admin.go   for administrators: host, role, id, query, freshness
//	Route.Handle                        packages signin, account, api and admin
//	WriteError         errors.go        what a handler returned, as a page or as a problem document
//
// What the gate says on the app's own addresses is in responses.go. Nothing is ever changed by GET or HEAD.
package web
