// Package sqlstore keeps the store of Gatehouse in SQLite or in PostgreSQL.
//
// Both engines run one SQL text ($1 placeholders, ON CONFLICT, RETURNING, whole milliseconds). What has to differ is in
// dialect.go.
//
// # Writes
//
// SQLite has one writing connection, whose transactions begin with BEGIN IMMEDIATE, and a pool of connections that can
// only read. Commits are synchronous: what was acknowledged survives a power cut. PostgreSQL runs the changes of all
// processes one at a time by locking the row of change_counter first. So a change may check with a query and then
// write: nothing it relied on can have moved (write skew is how two administrators demote each other).
//
// # Changes of other processes
//
// A change leaves rows in the table changes, in the same transaction and in the order of the commits. A poller reads
// those of other processes several times a second; PostgreSQL wakes it with NOTIFY. Where the poller missed rows that
// are pruned already, it tells that everything changed.
//
// # Poolers
//
// No statement has a name on the PostgreSQL server and no setting outlives a transaction, so PgBouncer may sit between
// in transaction mode. LISTEN does not work through it; the poll does.
package sqlstore
