package store

import "strings"

// ActorKind says what kind of actor did something. Names of actors are for people; that no username can pose as one of
// what is no account, the kind tells.
type ActorKind string

// Kinds of actors.
const (
	ActorPerson      ActorKind = "person" // somebody with an account: Event.ActorID is its id
	ActorCommandLine ActorKind = "command_line"
	ActorEnvironment ActorKind = "environment"
	ActorStartUp     ActorKind = "start_up"
	ActorProvider    ActorKind = "provider"
	ActorAnonymous   ActorKind = "anonymous"
	ActorSystem      ActorKind = "system" // anything else without an account
)

// ActorKinds are all kinds.
var ActorKinds = []ActorKind{
	ActorPerson, ActorCommandLine, ActorEnvironment, ActorStartUp, ActorProvider, ActorAnonymous, ActorSystem,
}

// Names of actors that have no account, as Event.Actor has them.
const (
	NameCommandLine = "command line"
	NameEnvironment = "environment"
	NameStartUp     = "start-up"
	NameAnonymous   = "anonymous"
	// ProviderPrefix is before the name of a provider.
	ProviderPrefix = "provider:"
)

// ActorKindOf returns the kind of an actor without an account, from its name. It is [ActorSystem] for every other name.
func ActorKindOf(name string) ActorKind {
	switch name {
	case NameCommandLine:
		return ActorCommandLine
	case NameEnvironment:
		return ActorEnvironment
	case NameStartUp:
		return ActorStartUp
	case NameAnonymous:
		return ActorAnonymous
	}
	if strings.HasPrefix(name, ProviderPrefix) {
		return ActorProvider
	}
	return ActorSystem
}

// ActorKind returns what kind of actor an event has. Every event of a person has the id of their account, and no other
// event has one; so it holds for events of any age.
func (e Event) ActorKind() ActorKind {
	if e.ActorID != "" {
		return ActorPerson
	}
	return ActorKindOf(e.Actor)
}

// ByPerson returns how a person is named where no id stands beside the name: in quotation marks if it is, or looks like,
// the name of what has no account.
func ByPerson(username string) string {
	if Ambiguous(username) {
		return "account \"" + username + "\""
	}
	return username
}

// Ambiguous reports whether a username is, or looks like, the name of an actor without an account.
func Ambiguous(username string) bool { return ActorKindOf(FoldName(username)) != ActorSystem }
