package store

import "time"

// ChangeKind says what a change is about.
type ChangeKind string

// Kinds of changes.
const (
	ChangeSession ChangeKind = "session" // a session ended or was replaced; Subject is its id
	ChangeToken   ChangeKind = "token"   // a token was deleted, replaced, or has other claims; Subject is its id
	ChangeUser    ChangeKind = "user"    // anything about a user that a decision may depend on; Subject is its id
	ChangeAll     ChangeKind = "all"     // everything may have changed: drop all cached data
	ChangeSetting ChangeKind = "setting" // a setting was written; Subject is its key
)

// Change says that a commit made earlier reads of a subject stale.
type Change struct {
	Kind    ChangeKind
	Subject string
}

// Watcher is notified of changes. Its methods must be quick, must not call the store, and may run concurrently.
type Watcher interface {
	// Changed is called after a commit: for this process's own changes before [Store.Change] returns, for those of other
	// processes as soon as they are detected. A change may be delivered more than once.
	Changed(changes []Change)
	// Synced means that every change committed before at (this process's clock) has been delivered. It is called several
	// times a second while the store is reachable. When the calls stop, cached data may be stale.
	Synced(at time.Time)
}
