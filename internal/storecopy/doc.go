// Package storecopy handles a store as a whole: it moves it to another engine, writes and reads backups, and checks what
// is in it.
//
// It knows no table by name where that can be helped. Which tables and columns there are is read from the databases,
// and what is copied is compared row by row afterwards: a column that a later migration adds can't be left behind.
//
// # Moving
//
// [Move] keeps the source from changing meanwhile, so that nothing that was acknowledged is lost and no session that
// was ended comes to life again in the target. It copies in batches and notes in the target how far it came, so that
// it goes on there after an interruption. The note is a table whose presence makes a server refuse the target
// (sqlstore.FillingTable); it goes in the transaction that has found both sides equal.
//
// # Loading
//
// [Load] fills a store in one transaction: backups of PostgreSQL, and the restoring of backups. Servers that run on the
// target meanwhile see it before or after, never between.
package storecopy
