package caddyauth

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/internal/session"
)

// The values of an identity, for the upstream and for placeholders.
const (
	valueUser = iota
	valueID
	valueEmail
	valueName
	valueGroups
	valueRole
	valueProvider
	valueAMR
	valueACR
	valueAuthTime
	valueMFATime
	valueSession // placeholder only
	valueToken   // likewise
	numValues
)

// valueNames are the names of the values in `header`, by index.
var valueNames = [numValues]string{
	"user", "id", "email", "name", "groups", "role", "provider", "amr", "acr", "auth_time", "mfa_time", "session", "token",
}

// placeholders are the names of the values in Caddy, by index.
var placeholders = [numValues]string{
	"http.auth.user.id", "http.auth.user.uid", "http.auth.user.email", "http.auth.user.name",
	"http.auth.user.groups", "http.auth.user.role", "http.auth.user.provider", "http.auth.user.amr",
	"http.auth.user.acr", "http.auth.user.auth_time", "http.auth.user.mfa_time", "http.auth.user.session",
	"http.auth.user.token",
}

// guardedNames are the folded names that no client may send on to an app: the default headers, that of assertions, and
// every configured one, of all gates of the app, because one site's upstream may be another's; and that of our own
// tokens, which an upstream might read in another spelling.
type guardedNames struct {
	folded map[string]struct{}
	// shapes says which lengths there are of names that begin with a byte: a bit for each, the lowest for 1. It tells
	// nearly every header of a request from the guarded ones before it is folded.
	shapes [256]uint64
}

const maxNameLen = 64

func (g *guardedNames) add(name string) {
	if g.folded == nil {
		g.folded = make(map[string]struct{})
	}
	var buf [maxNameLen]byte
	if n := foldHeader(&buf, name); n > 0 {
		g.folded[string(buf[:n])] = struct{}{}
		g.shapes[buf[0]] |= 1 << (n - 1)
	}
}

// has reports whether a header name folds to a guarded one.
func (g *guardedNames) has(name string) bool {
	if first, length, ok := foldedShape(name); ok && g.shapes[first]&(1<<(length-1)) == 0 {
		return false
	}
	var buf [maxNameLen]byte
	n := foldHeader(&buf, name)
	if n <= 0 {
		return false
	}
	_, ok := g.folded[string(buf[:n])]
	return ok
}

// foldedShape returns what a folded name begins with, and its length. ok is false where it takes folding to find out: a
// name that begins or ends with what is dropped, or is too long.
func foldedShape(name string) (first byte, length int, ok bool) {
	length = len(name)
	if length == 0 || length > maxNameLen {
		return 0, 0, false
	}
	first = foldByte(name[0])
	return first, length, first != '-' && foldByte(name[length-1]) != '-'
}

// foldByte returns a letter in lower case, a digit as it is, and '-' for everything else.
func foldByte(c byte) byte {
	switch {
	case c >= 'A' && c <= 'Z':
		return c + 'a' - 'A'
	case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		return c
	}
	return '-'
}

// foldHeader writes name to buf the way a lenient upstream may read it and returns its length, or -1 when it is
// longer than any guarded name: lower case, everything but letters and digits as '-' (CGI and WSGI turn '-' into '_',
// PHP '.' too), none of these at the ends.
func foldHeader(buf *[maxNameLen]byte, name string) int {
	n := 0
	for i := range len(name) {
		c := foldByte(name[i])
		if c == '-' && n == 0 {
			continue
		}
		if n == len(buf) {
			if c == '-' {
				continue
			}
			return -1
		}
		buf[n] = c
		n++
	}
	for n > 0 && buf[n-1] == '-' {
		n--
	}
	return n
}

// strip removes from the request everything by which a client could speak for the gate. It runs once, where a request
// comes in to a site that has a gate, before any handler. What it closes:
//   - identity headers in any spelling;
//   - `Connection: Remote-User`, which would make the proxy drop the header that we set as hop-by-hop;
//   - trailers, which the proxy passes on under any name;
//   - `Proxy`, which CGI upstreams read as the variable HTTP_PROXY;
//   - upgrades other than WebSocket, which only a gate may restore (upgrade.go): h2c would open a tunnel through which
//     any request, with any header, reaches the upstream unseen.
//
// It returns the upgrade that it took.
func (g *guardedNames) strip(r *http.Request) (upgrade string) {
	for name := range r.Header {
		if g.has(name) {
			delete(r.Header, name) // by the raw key: Del would canonicalize it
		}
	}
	delete(r.Header, "Proxy")
	delete(r.Header, "Trailer")
	r.Trailer = nil
	upgrade = takeUpgrade(r.Header)
	if len(r.Header["Upgrade"]) > 0 {
		r.Header["Connection"] = []string{"Upgrade"}
		return ""
	}
	delete(r.Header, "Connection")
	delete(r.Header, "Http2-Settings")
	return upgrade
}

func isWebSocket(upgrade []string) bool {
	// EqualFold takes "web\u017focket" for it, too.
	return len(upgrade) == 1 && identifier.FoldEmail(strings.Trim(upgrade[0], " \t")) == "websocket"
}

// identity are the values of one session, ready to be sent. It is made once per session, not once per request.
type identity struct {
	values  [numValues]string
	encoded [numValues]string // percent-encoded
}

// identityKey is what an identity is memoized for: a configuration's providers say what is sent of an account, and its
// demand for second factors whether that is an administrator's, and what is believed to have been proved.
type identityKey struct {
	oidc    *login.OIDC
	held    bool
	methods string
}

func keyOfIdentity(o *login.OIDC, l *session.Live) identityKey {
	return identityKey{o, l.Held, l.Session.Methods}
}

// gateIdentityKey is the same for a gate that sends only some of the groups.
type gateIdentityKey struct {
	identityKey
	gate *Gate
}

func identityOf(o *login.OIDC, l *session.Live) *identity {
	compute := func(l *session.Live) any { return newIdentity(o, l, l.User.Groups) }
	return l.Memoize(keyOfIdentity(o, l), compute).(*identity) //nolint:errcheck // newIdentity returns nothing else
}

// identityOf returns what this gate sends of a session's identity.
func (g *Gate) identityOf(o *login.OIDC, l *session.Live) *identity {
	if g.sendsAllGroups() {
		return identityOf(o, l)
	}
	compute := func(l *session.Live) any { return newIdentity(o, l, g.sentGroups(l.User.Groups)) }
	return l.Memoize(gateIdentityKey{keyOfIdentity(o, l), g}, compute).(*identity) //nolint:errcheck // as above
}

func newIdentity(o *login.OIDC, l *session.Live, groups []string) *identity {
	u := &l.User
	provider := login.ProviderOf(l)
	switch provider {
	case "":
		provider = policy.LocalProvider
	case policy.NoProvider:
		provider = ""
	}
	id := &identity{values: [numValues]string{
		valueUser: u.Username, valueID: u.ID, valueEmail: o.EmailForApp(l), valueName: u.Name,
		valueGroups: strings.Join(headerGroups(groups), ","), valueRole: string(u.Role), valueProvider: provider,
		valueAMR: strings.Join(l.Methods(), " "), valueACR: string(l.Level()),
		valueAuthTime: unixText(l.Session.AuthAt), valueMFATime: unixText(l.Session.MFAAt), valueSession: l.Session.ID,
	}}
	if l.Token != nil {
		id.values[valueSession], id.values[valueToken] = "", l.Token.ID
	}
	for i, v := range id.values {
		id.encoded[i] = percentEncoded(v)
	}
	id.encoded[valueGroups] = encodedGroups(groups)
	for i, v := range id.values {
		id.values[i] = headerSafe(v)
		if i != valueName && (id.values[i] != v || strings.TrimSpace(v) != v) {
			id.values[i] = "" // a value that changes on the way may be another person's to the app
		}
	}
	return id
}

// unixText returns a time in Unix seconds, "" for none.
func unixText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatInt(t.Unix(), 10)
}

// headerGroups returns the groups that can be sent in one header, separated by commas. Rules see the others all the
// same.
func headerGroups(groups []string) []string {
	out := make([]string, 0, len(groups))
	for _, g := range groups {
		if identifier.HeaderSafe(g) {
			out = append(out, g)
		}
	}
	return out
}

// headerSafe replaces what no header value may hold. Accounts are checked when they are made; a store that was
// written by something else must not become a way to inject headers.
func headerSafe(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// placeholderPrefix begins every placeholder of ours.
const placeholderPrefix = "http.auth.user."

// providePlaceholders defines the placeholders of the identity. They are always defined, and empty without an identity:
// a value that an earlier handler has set must not pass for ours.
func (req *request) providePlaceholders() {
	if req.replacer == nil {
		return
	}
	req.replacer.DeleteByPrefix(placeholderPrefix)
	req.replacer.Map(req.placeholder)
}

// dropForeignIdentity removes what another authentication before the gate has set: values that are set come before
// those that are asked for. Behind the gate only the gate says who is signed in.
func (req *request) dropForeignIdentity() {
	if req.replacer != nil {
		req.replacer.DeleteByPrefix(placeholderPrefix)
	}
}

// placeholder returns the value of one placeholder.
func (req *request) placeholder(name string) (any, bool) {
	if !strings.HasPrefix(name, placeholderPrefix) {
		return nil, false
	}
	for i, p := range placeholders {
		if p != name {
			continue
		}
		if req.identity == nil {
			return "", true
		}
		return req.identity.values[i], true
	}
	return nil, false
}

// setHeaders sends the identity upstream. Every header is sent, empty ones too: an upstream must never have to guess
// what a missing one means. The slices are this request's own: handlers after us may edit them in place.
// Of several gates on the way the last one's names count.
func (req *request) setHeaders(h http.Header, headers []identityHeader) {
	req.removeHeaders(h)
	req.first.sentHeaders = headers
	for i, hd := range headers {
		req.values[i] = req.first.identity.values[hd.value]
		if hd.encoded {
			req.values[i] = req.first.identity.encoded[hd.value]
		}
		h[hd.name] = req.values[i : i+1 : i+1]
	}
}

// removeHeaders removes what was sent upstream.
func (req *request) removeHeaders(h http.Header) {
	for _, hd := range req.first.sentHeaders {
		delete(h, hd.name)
	}
}
