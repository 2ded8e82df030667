package store

import "time"

// ChangeKind says what a change is about.
type ChangeKind string

// Kinds of changes.
const (
	ChangeSession ChangeKind = "session" // a session ended or was replaced; Subject is its id
	ChangeUser    ChangeKind = "user"    // anything about a user that a decision may depend on; Subject is its id
	ChangeAll     ChangeKind = "all"     // everything may have changed: forget all that was read before
	ChangeSetting ChangeKind = "setting" // a setting was written; Subject is its key
)

// Change tells that something was committed which makes earlier reads of a subject stale.
type Change struct {
	Kind    ChangeKind
	Subject string
}

// Watcher is told of changes. Its methods must be quick, must not call the store, and may run at the same time.
type Watcher interface {
	// Changed is called after a commit: for this process's own changes before [Store.Change] returns, for those
	// of other processes as soon as they are learned of. A change may be told more than once.
	Changed(changes []Change)
	// Synced tells that every change committed before at (this process's clock) has been told. It comes several
	// times a second while the store answers. When it stops coming, what was read before may be stale.
	Synced(at time.Time)
}
