// Package storecopy copies and checks whole stores: it moves a store to another engine, writes and restores backups,
// and checks a store's content.
//
// As far as possible, it knows no table by name. Tables and columns are read from the databases, and copies are
// compared row by row afterwards: a column that a later migration adds can't be missed.
//
// # Moving
//
// [Move] locks the source against changes, so that no acknowledged change is lost and no ended session is revived in
// the target. It copies in batches and records its progress in the target, so that it can continue after an
// interruption. The table with the progress also makes a server refuse the target (sqlstore.CopyTable); it is dropped
// in the transaction that has found both sides equal.
//
// # Loading
//
// [Load] copies a store in one transaction: for backups of PostgreSQL, and to restore backups. Servers that run on
// the target see its content before or after, never in between.
package storecopy
