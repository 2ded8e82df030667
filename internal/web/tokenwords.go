package web

import (
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// endsSoon is when a list says that a token is about to expire.
const endsSoon = 7 * 24 * time.Hour

// TokenState returns what is to be said about a token: that it is over, was replaced, waits for its program or ends
// soon; "" for nothing.
func (q *Request) TokenState(t store.Token) (ui.Kind, string) {
	now := q.deps.Clock()
	switch {
	case t.Expired(now):
		return ui.Bad, q.Text("token.expired")
	case t.ReplacedBy != "":
		return ui.Plain, q.Text("token.replaced")
	case !t.Fetched():
		return ui.Plain, q.Text("token.unfetched")
	case !t.ExpiresAt.IsZero() && t.ExpiresAt.Sub(now) <= endsSoon:
		return ui.Warn, q.Text("token.soon")
	}
	return ui.Plain, ""
}

// TokenRotatable reports whether a token can be replaced by a new one.
func (q *Request) TokenRotatable(t store.Token) bool {
	return t.ReplacedBy == "" && t.Fetched() && !t.Expired(q.deps.Clock())
}

// TokenHint returns what tells a token from others: the end of its text, "" where nobody has it yet.
func (q *Request) TokenHint(t store.Token) string {
	if !t.Fetched() {
		return ""
	}
	return "…" + t.Hint
}

// everyPath is the rule that all paths match.
const everyPath = "/*"

// TokenHosts returns the hosts of a token, in words: all where any of them says so, for a long list hides it.
func (q *Request) TokenHosts(t store.Token) string {
	if slices.Contains(t.Hosts, store.AllHosts) {
		return q.Text("token.all_hosts")
	}
	return strings.Join(t.Hosts, ", ")
}

// TokenPaths returns the paths of a token, in words.
func (q *Request) TokenPaths(t store.Token) string {
	if len(t.Paths) == 0 || slices.Contains(t.Paths, everyPath) {
		return q.Text("token.all_paths")
	}
	return strings.Join(t.Paths, ", ")
}

// TokenMethods returns with which methods a token may be used, in words.
func (q *Request) TokenMethods(m store.TokenMethods) string {
	if m == store.TokenRead {
		return q.Text("token.read")
	}
	return q.Text("token.all")
}

// TokenUse returns a command that uses a token, for a shell that has it in a variable: what is typed into a shell is
// kept in its history.
func (q *Request) TokenUse(t store.Token) string {
	origin, name := q.Origin(), ""
	if h, ok := reqctx.ParseHost(q.Host); ok {
		name = h.Name
	}
	if first := t.Hosts[0]; first != name && !strings.Contains(first, "*") {
		origin = q.Scheme() + "://" + first
	}
	path := "/"
	if len(t.Paths) > 0 && strings.Trim(strings.TrimSuffix(t.Paths[0], "*"), wordCharacters) == "" {
		path = strings.TrimSuffix(t.Paths[0], "*")
	}
	return `curl -H "Authorization: Bearer $TOKEN" ` + origin + path
}

// wordCharacters mean themselves to a shell.
const wordCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-"
