// Package oidc is the relying party side of OpenID Connect: it exchanges codes with providers and returns verified
// claims, or an error. Which account the claims belong to, and what it may do, is decided by internal/login.
//
// # The steps of a sign-in
//
// [Registry.Begin] creates state, nonce and PKCE verifier, stores them sealed and returns the authorization URL.
// [Registry.Finish] takes them from the store, once, and only in the browser that began the flow (each flow has a
// cookie); it checks the response, exchanges the code and verifies ID token and userinfo (flow.go, exchange.go,
// verify.go). No flow is kept in memory: after a restart, or at another Caddy, it can be finished.
//
// # What is checked
//
// go-oidc fetches the metadata and checks signature, issuer and audience; x/oauth2 calls the token endpoint. verify.go
// adds the checks that they leave out: exact member names, iat, azp, times with 60 s of leeway, typ, nonce, at_hash.
// keys.go caches the provider's keys: weak and unsuitable ones are ignored, and an unknown key id causes a refetch,
// rate-limited, because anybody can send tokens. client.go limits the size, the time and the address of every request.
//
// # Issuers that nobody signs in with
//
// [Issuer] verifies JWTs that programs get from their platform (issuer.go, jwt.go), with the same client and key cache.
// Who they act as is decided by internal/machine.
//
// # When a provider is down
//
// No request is made to a provider before somebody wants to sign in there. Metadata and keys are cached in a [Pool]
// that outlives configuration reloads, with a back-off after failures (remote.go). Existing sessions continue.
package oidc
