package store

import "strings"

// ActorKind says what kind of actor did something. Actor names are for display only: a user could choose the name of
// a system actor, so code compares the kind.
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

// ActorKinds lists all kinds.
var ActorKinds = []ActorKind{
	ActorPerson, ActorCommandLine, ActorEnvironment, ActorStartUp, ActorProvider, ActorAnonymous, ActorSystem,
}

// Names of actors without an account, as used in Event.Actor.
const (
	NameCommandLine = "command line"
	NameEnvironment = "environment"
	NameStartUp     = "start-up"
	NameAnonymous   = "anonymous"
	// ProviderPrefix precedes the name of a provider.
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

// ActorKind returns the kind of an event's actor. Exactly the events of people have an account id, whatever version
// wrote them.
func (e Event) ActorKind() ActorKind {
	if e.ActorID != "" {
		return ActorPerson
	}
	return ActorKindOf(e.Actor)
}

// DisplayUsername returns a username for display without its id: quoted if it is, or looks like, the name of an actor
// without an account.
func DisplayUsername(username string) string {
	if IsReservedName(username) {
		return "account \"" + username + "\""
	}
	return username
}

// IsReservedName reports whether a username is, or looks like, the name of an actor without an account.
func IsReservedName(username string) bool { return ActorKindOf(FoldName(username)) != ActorSystem }
