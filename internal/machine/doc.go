// Package machine says which service account a program acts as that shows a JWT of the platform it runs on: a CI job, a
// pod, an application of a directory. Nobody signs in, no account is made, and nothing is stored.
//
// [Set.Recognizes] tells our credentials from those of the app behind the gate: a token is ours, good or bad, when it
// names a configured issuer. [Set.Verify] has it verified against that issuer alone (internal/oidc: signature, aud,
// exp, form) and returns the account of the first rule whose claims all hold. Whether the account is there and active
// is for the caller to find out, for each request: a result may be a minute old, an account must not be.
package machine
