// Package oidc is the relying party's half of OpenID Connect: it speaks with providers and believes as little as it
// can. Who a person is here, and what they may do, is decided elsewhere (internal/login); this package answers with
// verified claims or with an error.
//
// # The way of a sign-in
//
// [Registry.Begin] makes state, nonce and PKCE verifier, keeps them sealed in the store and returns the address at the
// provider. [Registry.Finish] takes them back, once, in the browser that began (a cookie for each flow), checks the
// answer, exchanges the code and verifies ID token and userinfo (flow.go, exchange.go, verify.go). Nothing of a flow is
// in this process's memory: a restart or another Caddy finishes what this one began.
//
// # What is checked
//
// go-oidc reads metadata and checks signature, issuer and audience; x/oauth2 speaks with the token endpoint. verify.go
// adds what they leave out: exact member names, iat, azp, times with 60 s of leeway, typ, nonce, at_hash. keys.go keeps
// the provider's keys: weak or foreign ones are refused, and an unknown key id makes it read them again, but never
// faster than a few times a minute, whoever sends tokens. client.go bounds every answer in size, time and place.
//
// # When a provider is down
//
// Nothing is asked of a provider before somebody wants to sign in there. Metadata and keys are kept in a [Pool] that
// outlives configurations, with a back-off after failures (remote.go). Sessions that exist go on.
package oidc
