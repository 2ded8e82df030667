package web

import (
	"net/http"
	"strconv"
	"time"
)

// firstCookie keeps the sign-in page from going on to a provider by itself: for good once the person has signed out or
// a sign-in has failed, until the next one that works; and after a few times in a row. A session that is over as soon
// as it has begun would otherwise send the browser round in circles.
const (
	firstCookie = "first"
	firstStay   = "stay"
	firstTries  = 3 // a browser gives up after about 20 redirects, with a page that helps nobody
	firstWindow = time.Minute
)

// MayGoFirst reports whether the sign-in page may go on to a provider by itself, as far as the browser's last sign-ins
// are concerned. went counts this time.
func (q *Request) MayGoFirst() (went func(http.ResponseWriter), ok bool) {
	tries := 0
	switch cookies := q.http.CookiesNamed(q.Cookie.PrefixedName(firstCookie)); len(cookies) {
	case 0:
	case 1:
		var err error
		if tries, err = strconv.Atoi(cookies[0].Value); err != nil || tries < 0 || tries >= firstTries {
			return nil, false
		}
	default:
		return nil, false
	}
	return func(w http.ResponseWriter) {
		http.SetCookie(w, q.Cookie.Prefixed(firstCookie, strconv.Itoa(tries+1), firstWindow))
	}, true
}

// StayHere has the next sign-in pages wait for the person.
func (q *Request) StayHere(w http.ResponseWriter) {
	if q.deps.SignIn.First != "" {
		http.SetCookie(w, q.Cookie.Prefixed(firstCookie, firstStay, 0))
	}
}

// stayNoLonger undoes StayHere after a sign-in. The count of times goes on: only time ends a circle.
func (q *Request) stayNoLonger(w http.ResponseWriter) {
	if q.Cookie.PrefixedValue(q.http, firstCookie) == firstStay {
		http.SetCookie(w, q.Cookie.Prefixed(firstCookie, "", -1))
	}
}
