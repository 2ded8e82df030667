// Package sqlstore implements the store of Gatehouse on SQLite and PostgreSQL.
//
// Both engines run one SQL text ($1 placeholders, ON CONFLICT, RETURNING, whole milliseconds). The differences are in
// dialect.go.
//
// # Writes
//
// SQLite has one writing connection, whose transactions begin with BEGIN IMMEDIATE, and a pool of connections that
// can only read. Commits are synchronous: an acknowledged change survives a power cut. PostgreSQL runs the changes of
// all processes one at a time by locking the row of change_counter first. So a change may check with a query and then
// write, without write skew (by which two administrators could demote each other).
//
// # Changes of other processes
//
// A change leaves rows in the table changes, in the same transaction and in the order of the commits. A poller reads
// those of other processes several times a second; PostgreSQL wakes it with NOTIFY. If the poller has missed rows
// that are already deleted, it reports that everything changed.
//
// # Poolers
//
// No prepared statement is named on the PostgreSQL server and no setting outlives a transaction, so PgBouncer works
// in transaction mode. LISTEN does not work through it; polling does.
package sqlstore
