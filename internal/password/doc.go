// Package password hashes and verifies passwords, and checks new ones against a policy.
//
// # Hashing
//
// New hashes are argon2id in PHC form with the configured [Params]. A [Hasher] also verifies imported formats: bcrypt,
// scrypt and PBKDF2, in PHC form or as Werkzeug writes them. A hash that is not argon2id with the current parameters is
// reported as outdated, so that the caller replaces it at the next sign-in.
//
// A stored hash is untrusted input. The parsers are strict, and every parameter has a ceiling: a row with m=4294967295
// is refused instead of taking all memory. A malformed hash never matches, but is not an error: a damaged row must not
// turn a sign-in into a 500.
//
// # Denial of service and timing
//
// Hashing is slow by design, so a flood of sign-ins would exhaust the server. [Slots] lets a few hashes run at once,
// queues some more in order of arrival and rejects the rest with a [BusyError]. Verifying a password that cannot match
// (unknown user, malformed hash) costs one hash as well, so that the response time does not tell which names exist.
// This holds for hashes with the current parameters only: an imported bcrypt hash takes bcrypt's time until it is
// replaced.
//
// # Normalization
//
// A password is compared byte for byte after NFC (see [Normalize]), up to [MaxBytes], never truncated. bcrypt uses the
// first 72 bytes only, so a longer password never matches a bcrypt hash here: accepting it would accept every password
// with the same first 72 bytes.
package password
