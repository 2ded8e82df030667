package store

import "time"

// Outcome of an audited act.
type Outcome string

// Outcomes.
const (
	Success Outcome = "success"
	Failure Outcome = "failure"
	Denied  Outcome = "denied"
)

// Event is one row of the audit log. Rows are append-only and deleted by age.
type Event struct {
	ID        string // time-ordered, made by NewID
	Time      time.Time
	ActorID   string // set only for people with an account; see ActorKind
	Actor     string // username at that time, or one of the names of actors without an account
	Action    string // noun.verb, e.g. "session.sign_in", "user.update", "password.change"
	TargetID  string
	Target    string // username or other name at that time
	Outcome   Outcome
	IP        string
	UserAgent string
	RequestID string
	// Details holds before/after values and reasons. Never a secret, and never the input of the username field for an
	// unknown user: people type passwords there.
	Details map[string]string
}

// EventQuery selects a page of events, newest first.
type EventQuery struct {
	// Text matches a part of actor, target, action or IP, folded. A complete IP address matches that address only, and a
	// complete RequestID its events.
	Text   string
	UserID string // actor or target
	// TargetID is the user to whom it happened, whoever did it.
	TargetID string
	Actor    string // exact username or other name, folded
	// ActorKind restricts the kind of actor: together with Actor it distinguishes a person from a system actor of that
	// name.
	ActorKind ActorKind
	Action    string // exact, or a group ending in "." such as "session."
	Outcome   Outcome
	From      time.Time // inclusive; zero: no bound
	To        time.Time // exclusive
	Cursor    string
	Limit     int // 1–1000; 0 means 50
}

// EventPage is one page of events.
type EventPage struct {
	Items []Event
	Next  string
	// Searched is how far back an incomplete search has come that continues at Next; otherwise zero.
	Searched time.Time
}
