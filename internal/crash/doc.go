// Package crash tests crash recovery: it kills processes that use a store, at random moments and after every single
// write, and then starts on the remaining files like Caddy: first the check that changes nothing, then the opening.
//
// # Kills
//
// A separate process changes a store as fast as it can and reports what was acknowledged after each commit. It is
// killed at a random moment. Everything acknowledged has to be there, and no ended session may be valid.
//
// # Every write
//
// A separate process runs a scenario (commits and checkpoints, a migration, a restore, a move) with a file system
// layer below SQLite that records each write, truncation and deletion in order. From the recording, the files are
// reconstructed after each step, after half of a write, and as a power cut may leave them, with unsynced data written
// in part. Each of these is a store to start on.
//
// The suite runs a short form; `make crash` runs CRASH_ROUNDS kills and takes every write. CRASH_SEED repeats a run.
package crash
