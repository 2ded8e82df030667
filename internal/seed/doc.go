// Package seed makes the administrator that the environment names.
//
// There are two policies. With [ModeSeed] the environment makes the administrator when the store has none; afterwards
// the store is the truth, and only ADMIN_PASSWORD_FORCE_SYNC writes over it, once per value. With [ModeManaged] the
// environment is the truth at every start.
//
// # From the environment to the store
//
//	Parse (pure)      configuration and variables → Values, every problem at once, at the time of provisioning
//	readState         what of the store matters: a handful of rows
//	decide (pure)     Values and state → plan: what to write, what to warn about
//	execute           the plan, in one transaction of the store
//
// [Apply] decides twice: outside of the transaction, to find out what has to be hashed or compared (slow, so nobody
// should wait for a lock meanwhile), and again inside it on what is true there. When the second plan needs something
// that was not computed for the first, the store has moved; it starts over. So two servers that start at once on one
// store make one administrator, and a start at which everything matches opens no transaction at all. [Describe] shares
// readState and decide, so what it tells is what a start would do.
//
// # Who is never taken over
//
// An account is matched by its name or e-mail among those that were made here, and have a password or may set one. Somebody
// may call themselves "admin", or carry any e-mail, at a provider; such a person is never given a password and a role from
// here, not even when an administrator gave them a password meanwhile. Where they have the e-mail of the managed root,
// which no two accounts can sign in with, they lose it.
//
// Whoever is taken over brings nothing along: sessions, known browsers, links, half-finished sign-ins and identities at
// providers end, as in every recovery of an account.
package seed
