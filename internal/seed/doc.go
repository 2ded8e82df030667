// Package seed creates and updates the administrator that the environment defines.
//
// There are two policies. With [ModeSeed] (the policy of MXroute Manager) the environment creates the administrator
// if the store has none; afterwards the store is authoritative, and only ADMIN_PASSWORD_FORCE_SYNC overwrites it,
// once per value. With [ModeManaged] (the policy of the0) the environment is authoritative at every start.
//
// # From the environment to the store
//
//	Parse (pure)      configuration and variables → Values, or all problems at once; runs in Provision
//	readState         the relevant rows of the store
//	decide (pure)     Values and state → plan: what to write, what to warn about
//	execute           the plan, in one transaction of the store
//
// [Apply] decides twice: outside of the transaction, to find out what has to be hashed or compared (slow, so it must
// not hold the lock meanwhile), and again inside it on consistent data. If the second plan needs something that was
// not computed for the first, the store has changed, and Apply starts over. So two servers that start at the same
// time on one store create one administrator, and a start with nothing to change opens no transaction. [Describe]
// shares readState and decide, so it reports exactly what a start would do.
//
// # Accounts that are never taken over
//
// An account is matched by username or e-mail address, among local accounts only. At a provider anybody may be called
// "admin" or have any e-mail address; such an account never gets a password and a role from the environment, not even
// if an administrator has given it a password. If it has the e-mail address of the managed administrator, which must
// be unique, it loses the address.
//
// An account that is taken over loses all other access: sessions, known browsers, links, sign-ins in progress and
// identities end, as in every account recovery.
package seed
