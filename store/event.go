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

// Event is one row of the audit log. Rows are only ever added, and dropped by age.
type Event struct {
	ID        string // time-ordered, made by NewID
	Time      time.Time
	ActorID   string // of the account of a person, and of nobody else; see ActorKind
	Actor     string // username at that time, or one of the names of actors without an account
	Action    string // noun.verb, e.g. "session.sign_in", "user.update", "password.change"
	TargetID  string
	Target    string // username or other name at that time
	Outcome   Outcome
	IP        string
	UserAgent string
	RequestID string
	// Details holds before/after values and reasons. Never a secret, and never what was typed as an unknown
	// username: people type passwords there.
	Details map[string]string
}

// EventQuery selects a page of events, newest first.
type EventQuery struct {
	// Text is a part of actor, target, action or IP, folded. A whole IP address means that address alone, and a whole
	// RequestID its events.
	Text   string
	UserID string // actor or target
	Actor  string // exact username or other name, folded
	// ActorKind is what kind of actor: with Actor, it tells a person from what they may be named after.
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
	// Searched is how far back a search has come that has not filled its page and goes on at Next; otherwise zero.
	Searched time.Time
}
