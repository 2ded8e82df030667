package web

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/problem"
	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
)

// TokenRefusal says why a token does not count for a request. The zero value is that it is no good token.
type TokenRefusal int

// Refusals of tokens.
const (
	TokenInvalid TokenRefusal = iota // unknown, expired, revoked, malformed, or its owner may not use it now
	TokenOutOfScope
	TokenRepeated   // the request has two
	TokensThrottled // too many bad ones from one address
	TokenAccepted
)

// String returns the name of a result in metrics.
func (t TokenRefusal) String() string {
	switch t {
	case TokenOutOfScope:
		return "scope"
	case TokenRepeated:
		return "repeated"
	case TokensThrottled:
		return "throttled"
	case TokenAccepted:
		return "accepted"
	case TokenInvalid:
	}
	return "invalid"
}

// badTokensRetry is when an address with too many bad tokens may try again.
const badTokensRetry = time.Minute

// problem returns the refusal as the outside sees it.
func (t TokenRefusal) problem() problem.Problem {
	switch t {
	case TokenOutOfScope:
		return problem.Problem{Status: http.StatusForbidden, Slug: "token-scope"}
	case TokenRepeated:
		return problem.Problem{Status: http.StatusBadRequest, Slug: "token-repeated"}
	case TokensThrottled:
		return problem.Problem{Status: http.StatusTooManyRequests, Slug: "throttled", RetryAfter: badTokensRetry}
	case TokenInvalid, TokenAccepted:
	}
	return problem.Problem{Status: http.StatusUnauthorized, Slug: "token-invalid"}
}

// RefuseToken responds to a request with a token that does not let it through (RFC 6750, section 3.1): always a problem
// document, never a redirect. With basic, a program is asked for Basic first: git and WebDAV clients know nothing else,
// and some use the first challenge that they know.
func (s Responses) RefuseToken(w http.ResponseWriter, r *http.Request, why TokenRefusal, basic bool) {
	q := s.request(r, false)
	p := why.problem()
	q.WriteErrorHeaders(w, r, p, nil)
	q.challengeToken(w.Header(), p, basic)
	q.writeDecision(w, r, p.Document(q.UI, ""))
}

// challengeToken sets WWW-Authenticate beside the refusal of a token.
func (q *Request) challengeToken(h http.Header, p problem.Problem, basic bool) {
	switch p.Slug {
	case "token-invalid":
		h["Www-Authenticate"] = q.challenges(basic, `, error="invalid_token"`)
	case "token-scope":
		h["Www-Authenticate"] = []string{q.challenge() + `, error="insufficient_scope"`}
	}
}

// challenges returns the lines of WWW-Authenticate for a program.
func (q *Request) challenges(basic bool, more string) []string {
	bearer := q.challenge() + more
	if !basic {
		return []string{bearer}
	}
	return []string{"Basic realm=" + ui.Realm(q.UI.Brand().Title()) + `, charset="UTF-8"`, bearer}
}

// Program reports whether a program asks, with a token.
func (q *Request) Program() bool { return q.Live != nil && q.Live.Token != nil }

type programKey struct{}

// WithProgram returns a copy of r for what acts with a token. The session cookie of such a request is not looked at.
func WithProgram(r *http.Request, l *session.Live) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), programKey{}, l))
}

// programOf returns what acts with a token, nil for a browser.
func programOf(r *http.Request) *session.Live {
	l, _ := r.Context().Value(programKey{}).(*session.Live)
	return l
}
