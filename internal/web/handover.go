package web

import (
	"crypto/subtle"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
)

const (
	handoverCookie = "handover"
	handoverLife   = 5 * time.Minute
)

// SetHandover gives the browser a secret for the page that shows it once. Until then it is in a cookie that no script
// can read and the app behind the gate never sees: a page that makes the secret would make another one on each reload.
// about and kind have no dots.
func (q *Request) SetHandover(w http.ResponseWriter, about, kind, secret string) {
	value := about + "." + kind + "." + secret
	http.SetCookie(w, session.HostCookie(q.Request).Prefixed(handoverCookie, value, handoverLife))
}

// Handover returns the secret that is about something, "" for none.
func (q *Request) Handover(about string) (kind, secret string) {
	value := session.HostCookie(q.Request).PrefixedValue(q.http, handoverCookie)
	of, rest, _ := strings.Cut(value, ".")
	if of != about {
		return "", ""
	}
	kind, secret, _ = strings.Cut(rest, ".")
	return kind, secret
}

// HandoverToken returns the text of a token of a program that was made a moment ago in this browser, "" for none. What
// else the cookie holds is not shown: it is not this token's.
func (q *Request) HandoverToken(t store.Token) string {
	_, text := q.Handover(t.ID)
	hash := store.HashToken(text)
	if subtle.ConstantTimeCompare(hash[:], t.Hash[:]) != 1 {
		return ""
	}
	return text
}

// EndHandover takes the secret from the browser. A request without a body has shown nothing.
func (q *Request) EndHandover(w http.ResponseWriter) {
	if q.http.Method != http.MethodHead {
		http.SetCookie(w, session.HostCookie(q.Request).Prefixed(handoverCookie, "", -1))
	}
}
