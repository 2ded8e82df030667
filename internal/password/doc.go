// Package password hashes, checks and judges passwords.
//
// # Hashing
//
// New hashes are argon2id in PHC form with the configured [Params]. A [Hasher] also checks the formats that people
// bring along from elsewhere: bcrypt, scrypt and PBKDF2, in PHC form or as Werkzeug writes them. A hash that is not
// argon2id with the current parameters is reported as outdated, so that the caller replaces it at the next sign-in.
//
// A stored hash is input like any other. The parsers are strict, and every parameter has a ceiling: a row that says
// m=4294967295 is refused instead of taking all memory. What cannot be read never matches, and is no error: a damaged
// row must not turn a sign-in into a 500.
//
// # Cost as a weapon
//
// Hashing is made to be slow, so it is what a flood would aim at. [Slots] lets a few run at once, queues some more in
// order of arrival and sends the rest away with a [BusyError]. Checking a password that cannot match (unknown user,
// damaged hash) costs one hash as well, so that the time of an answer does not tell which names exist. That holds for
// hashes with the current parameters only: a bcrypt hash takes the time bcrypt takes until it is replaced.
//
// # One spelling
//
// A password is compared byte for byte after NFC (see [Normalize]), up to [MaxBytes], never truncated. bcrypt looks at
// the first 72 bytes only, so a longer password never matches a bcrypt hash here: what was cut off when it was set is
// unknown, and accepting it would accept every password with the same beginning.
package password
