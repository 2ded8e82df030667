package session

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/store"
)

// Browsers send every cookie of a name that fits, and do not say for which domain each is: beside ours there may be one
// of another Gatehouse with a wider domain, one from before the domain was changed, and one that a sibling host has
// planted. So the values are told apart by what they are. The one with a live session counts; with sessions of two
// people nobody can tell whose request it is, and it is nobody's.

// maxPresented is how many values of one name are looked up: a browser has one for each parent domain at most, and each
// takes a query. A sibling host can plant more, of which none has this store's mark: only those count then that have
// it.
const maxPresented = 5

// Of what is planted, as much is read. Which of more counts cannot be known, and the request is nobody's.
const (
	maxRead   = 64
	maxOthers = 3 * (maxPresented + 1) // each takes a query at a sign-in
)

// Presented is what a request has under the names of the session cookie: that of its own scheme and scope, and those
// that it has with others.
type Presented struct {
	values []cookieValue
	prefix string // of the own name
	first  [1]cookieValue
}

// cookieValue is a well-formed value of the session cookie.
type cookieValue struct {
	prefix string // of the name that it came under
	token  string
	mark   string // who issued it; "" in values from before there were marks
}

// ReadPresented reads the session cookies of a request. Malformed values are skipped.
func ReadPresented(c Cookie, h http.Header) *Presented {
	p := &Presented{}
	p.Read(c, h)
	return p
}

// Read reads the session cookies of a request into p, which spares an allocation.
func (p *Presented) Read(c Cookie, h http.Header) {
	p.values, p.prefix = p.first[:0], c.prefix()
	base := c.base()
	for _, line := range h["Cookie"] {
		for part := range strings.SplitSeq(line, ";") {
			name, text, ok := strings.Cut(strings.TrimLeft(part, " \t"), "=")
			if !ok || !strings.HasSuffix(name, base) {
				continue
			}
			v, ok := parseCookieValue(text)
			switch v.prefix = name[:len(name)-len(base)]; {
			case !ok || v.prefix != "" && v.prefix != hostPrefix && v.prefix != securePrefix:
			case p.count(v.prefix) > maxRead, p.has(v): // one more tells that there are too many
			default:
				p.values = append(p.values, v)
			}
		}
	}
}

func (p *Presented) count(prefix string) (n int) {
	for i := range p.values {
		if p.values[i].prefix == prefix {
			n++
		}
	}
	return n
}

func (p *Presented) has(v cookieValue) bool {
	return slices.ContainsFunc(p.values, func(o cookieValue) bool { return o.prefix == v.prefix && o.token == v.token })
}

// under returns the values under the name with a prefix.
func (p *Presented) under(prefix string) []cookieValue {
	var list []cookieValue
	for _, v := range p.values {
		if v.prefix == prefix {
			list = append(list, v)
		}
	}
	return list
}

// Single returns the only token under the own name, "" for none. ok is false where there are several, and
// [Manager.Choose] has to find out which one counts.
func (p *Presented) Single() (token string, ok bool) {
	for i := range p.values {
		if p.values[i].prefix != p.prefix {
			continue
		}
		if token != "" {
			return "", false
		}
		token = p.values[i].token
	}
	return token, true
}

// Others returns the tokens but the one that counts, under whatever name: a sign-in and a sign-out end the sessions of
// all of them. Of too many those with a mark come first.
func (p *Presented) Others(counts string) []string {
	list := []string{counts}
	for _, marked := range []bool{true, false} {
		for _, v := range p.values {
			if (v.mark != "") == marked && len(list) <= maxOthers && !slices.Contains(list, v.token) {
				list = append(list, v.token)
			}
		}
	}
	return list[1:]
}

// Choose returns the token that counts as the request's: the one with a live session, "" where there are sessions of
// several people, and the first of ours where none is live. host is for the log. An error means that it could not be
// found out; the token is one whose lookup fails as well.
func (m *Manager) Choose(ctx context.Context, p *Presented, c Cookie, host string) (string, error) {
	if token, ok := p.Single(); ok {
		return token, nil
	}
	own := p.under(p.prefix)
	marks, err := m.marks(ctx, false)
	if err != nil {
		return own[0].token, err
	}
	many := len(own) > maxRead
	own = slices.DeleteFunc(own, marks.foreign) // sessions of their own, at another gate
	if len(own) > maxPresented {
		own = slices.DeleteFunc(own, func(v cookieValue) bool { return !marks.issued(v) })
		many = many || len(own) == 0 || len(own) > maxPresented
	}
	if many {
		m.noteCookies("more cookies of the session's name than there can be: the request counts as nobody's", c, host)
		return "", nil
	}
	chosen, user := "", ""
	for _, v := range own {
		l, err := m.Peek(ctx, v.token)
		switch {
		case errors.Is(err, ErrNone):
		case err != nil:
			return own[0].token, err
		case chosen == "":
			chosen, user = v.token, l.User.ID
		case user != l.User.ID:
			m.noteCookies("two cookies of the session's name have sessions of different people: the request counts as "+
				"nobody's", c, host)
			return "", nil
		}
	}
	if chosen == "" && len(own) > 0 {
		chosen = own[0].token
	}
	m.noteCookies("several cookies of the session's name came with one request: the one with a live session counts", c,
		host)
	return chosen, nil
}

// noteCookies logs, at times, that a name has several cookies. Any client can send them.
func (m *Manager) noteCookies(what string, c Cookie, host string) {
	if !m.cookieNotes.allow(what, m.now()) {
		return
	}
	m.log.Warn(what+"; they are for different domains, from another gate or from before cookie_domain was changed. Give "+
		"each gate a name of its own: session { cookie_name <name> }",
		zap.String("cookie", c.Name()), zap.String("host", host))
}

// tokenLength is the length of a token, see [store.NewToken].
const tokenLength = 43

// parseCookieValue reads a value of the session cookie: a token, and the mark of the store that issued it.
func parseCookieValue(s string) (cookieValue, bool) {
	switch len(s) {
	case tokenLength:
		return cookieValue{token: s}, store.ValidToken(s)
	case tokenLength + markLength:
		v := cookieValue{token: s[:tokenLength], mark: s[tokenLength:]}
		return v, store.ValidToken(v.token) && store.ValidToken(v.token[markLength:]+v.mark)
	}
	return cookieValue{}, false
}
