// Package crash holds the tests that kill what uses a store, at any moment and after every single write, and start on
// what is left, as Caddy does: first the check that changes nothing, then the opening.
//
// # Kills
//
// A process of its own changes a store as hard as it can and tells after each commit what was acknowledged. It is killed
// at a random moment. Everything acknowledged has to be there, and no session that was ended may be alive.
//
// # Every write
//
// A process of its own does what is to be interrupted (commits and checkpoints, a migration, a restore, a move) with a
// file system layer beneath SQLite that notes each write, truncation and deletion in their order. From the notes the
// files are made as they stood after each of them, after half of each, and as a power cut may leave them, when what was
// not synced is there in part. Each is a store to start on.
//
// The suite runs a short form; `make crash` runs CRASH_ROUNDS kills and takes every write. CRASH_SEED repeats a run.
package crash
