package web

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// HasTokens reports whether programs can have tokens.
func (q *Request) HasTokens() bool { return q.deps.Accounts.Tokens != nil }

// TokensStay tells somebody who ends sessions of the own account that its tokens go on, "" where there are none. What
// cannot be found out is that there are some.
func (q *Request) TokensStay() string {
	if !q.HasTokens() || q.Live == nil {
		return ""
	}
	left, err := q.deps.Accounts.AccessLeft(q.http.Context(), q.Live.User.ID)
	if err == nil && left.Tokens == 0 {
		return ""
	}
	return q.Text("tokens.stay")
}

// HasDeviceSignIn reports whether programs can ask for a token with a code.
func (q *Request) HasDeviceSignIn() bool {
	return q.HasTokens() && q.deps.Accounts.Tokens.Device && q.deps.Device != nil
}

// Values of the choice "expires" beside durations.
const (
	tokenDays  = "days" // as many as the field "days" says
	tokenNever = "never"
)

// TokenForm is a form for a new token, as it was typed.
type TokenForm struct{ name, expires, days, hosts, paths, methods string }

// NewTokenForm returns the form as it is at first.
func (q *Request) NewTokenForm() TokenForm {
	f := TokenForm{expires: q.deps.Accounts.Tokens.Expiry.String(), methods: string(store.TokenAll)}
	if h, ok := reqctx.ParseHost(q.Host); ok {
		f.hosts = h.Name
	}
	return f
}

// With returns a copy with the fields that values has. Lists come as lines, or as several values.
func (f TokenForm) With(values func(name string) []string) TokenForm {
	for name, to := range f.fields() {
		if got := values(name); len(got) > 0 {
			*to = strings.Join(got, "\n")
		}
	}
	return f
}

func (f *TokenForm) fields() map[string]*string {
	return map[string]*string{
		"name": &f.name, "expires": &f.expires, "days": &f.days, "hosts": &f.hosts, "paths": &f.paths,
		"methods": &f.methods,
	}
}

// sealedTokenForm is the purpose of a sealed form. What fills a form one click from being sent is what its person
// typed, and not what an address says that another site leads to.
const sealedTokenForm = "token-form"

// Seal returns what was typed, for an address that [Request.OpenTokenForm] reads; "" where that cannot be.
func (f TokenForm) Seal(q *Request) string {
	v := url.Values{"until": {strconv.FormatInt(q.deps.Clock().Add(returnLife).Unix(), 10)}}
	for name, from := range f.fields() {
		v[name] = lines(*from)
	}
	sealed, err := q.deps.seal.Seal(q.http.Context(), []byte(v.Encode()), sealedTokenForm, q.tokenFormRow())
	if err != nil {
		return ""
	}
	return sealed
}

// OpenTokenForm returns the form that the person who is signed in has typed here within the last hour, or else the form
// as it is at first.
func (q *Request) OpenTokenForm(sealed string) TokenForm {
	f := q.NewTokenForm()
	plain, err := q.deps.seal.Open(q.http.Context(), sealed, sealedTokenForm, q.tokenFormRow())
	if err != nil {
		return f
	}
	v, err := url.ParseQuery(string(plain))
	if err != nil {
		return f
	}
	until, err := strconv.ParseInt(v.Get("until"), 10, 64)
	if err != nil || !q.deps.Clock().Before(time.Unix(until, 0)) {
		return f
	}
	return f.With(func(name string) []string { return v[name] })
}

// tokenFormRow binds a sealed form to this site and to a person.
func (q *Request) tokenFormRow() string { return q.Origin() + " " + q.Live.User.ID }

// Token reads the form. What is beyond the limits is for the account service to refuse.
func (f TokenForm) Token(q *Request) (account.NewToken, error) {
	n := account.NewToken{
		Name: f.name, Paths: lines(f.paths), Methods: store.TokenMethods(f.methods),
		Hosts: strings.FieldsFunc(f.hosts, func(r rune) bool { return unicode.IsSpace(r) || r == ',' }),
	}
	switch days := strings.TrimSpace(f.days); {
	case f.expires == tokenDays:
		// The limit is far beyond every configuration's, and far below what overflows.
		d, err := strconv.ParseUint(days, 10, 16)
		if err != nil || d == 0 {
			return n, tokenFault("days", q.Text("token.days_which"))
		}
		n.Expires = time.Duration(d) * day
	case days != "": // which of the two was meant?
		return n, tokenFault("expires", q.Text("token.days_or"))
	case f.expires == tokenNever:
		n.Never = true
	case f.expires != "":
		d, err := time.ParseDuration(f.expires)
		if err != nil || d <= 0 {
			return n, tokenFault("expires", q.Text("token.expires_which"))
		}
		n.Expires = d
	}
	return n, nil
}

func tokenFault(field, text string) error {
	return &account.InvalidError{Fields: []account.FieldError{{Field: field, Text: text}}}
}

// Faults names the fields of errors as the form does.
func (f TokenForm) Faults(list []ui.FieldError) []ui.FieldError {
	list = slices.Clone(list)
	for i := range list {
		if strings.HasPrefix(list[i].Field, "expires") {
			list[i].Field = "expires"
			if f.expires == tokenDays {
				list[i].Field = "days"
			}
		}
	}
	return list
}

// TokenField is an input of a form for a new token.
type TokenField struct {
	ui.Field
	Kind    string // "" for a text, "select" or "list" for several lines
	Options []TokenOption
}

// TokenOption is one of several.
type TokenOption struct {
	Value, Text string
	Chosen      bool
}

const day = 24 * time.Hour

// tokenLives are the lives of tokens that a form offers beside the configured one.
var tokenLives = []time.Duration{day, 7 * day, 30 * day, 90 * day, 365 * day}

// Fields returns the inputs of the form for a token of u.
func (f TokenForm) Fields(q *Request, u store.User) []TokenField {
	plain := func(name, label, value string) ui.Field {
		return ui.Field{ID: name, Name: name, Label: label, Value: value, Autocomplete: "off", Plain: true}
	}
	name, days := plain("name", q.Text("token.name"), f.name), plain("days", q.Text("token.days"), f.days)
	name.Hint, name.Plain, name.Key = q.Text("token.name_hint"), false, "next"
	days.Optional, days.Type, days.Hint = true, "number", q.Text("token.days_hint", "life", q.Text("token.other"))
	hosts, paths := plain("hosts", q.Text("token.hosts"), f.hosts), plain("paths", q.Text("token.paths"), f.paths)
	hosts.Hint, paths.Hint, paths.Optional = q.Text("token.hosts_hint"), q.Text("token.paths_hint"), true
	return []TokenField{
		{Field: name},
		{Kind: "select", Field: plain("expires", q.Text("token.expires"), ""), Options: f.lives(q, u)},
		{Field: days},
		{Kind: "list", Field: hosts},
		{Kind: "list", Field: paths},
		{Kind: "select", Field: plain("methods", q.Text("token.methods"), ""), Options: []TokenOption{
			{string(store.TokenAll), q.TokenMethods(store.TokenAll), f.methods != string(store.TokenRead)},
			{string(store.TokenRead), q.TokenMethods(store.TokenRead), f.methods == string(store.TokenRead)},
		}},
	}
}

// lives are the choices of "expires", the configured one among them.
func (f TokenForm) lives(q *Request, u store.User) []TokenOption {
	limits := q.deps.Accounts.Tokens
	all := append([]time.Duration{limits.Expiry}, tokenLives...)
	slices.Sort(all)
	var list []TokenOption
	for _, life := range slices.Compact(all) {
		if life <= limits.MaxExpiry {
			list = append(list, TokenOption{life.String(), q.Span(life), f.expires == life.String()})
		}
	}
	list = append(list, TokenOption{tokenDays, q.Text("token.other"), f.expires == tokenDays})
	if limits.AllowNever(u) {
		list = append(list, TokenOption{tokenNever, q.Text("token.never"), f.expires == tokenNever})
	}
	return list
}

// tokenKeeps are for how long a token that is rotated can be kept: the value of the field "keep", and the duration.
var tokenKeeps = []struct {
	Value string
	For   time.Duration
}{{"now", 0}, {"1h", time.Hour}, {"24h", day}, {"168h", 7 * day}}

// KeepField asks for how long the old token is kept.
func (q *Request) KeepField(now string) TokenField {
	f := TokenField{Kind: "select", Field: ui.Field{
		ID: "keep", Name: "keep", Label: q.Text("rotate.keep"), Hint: q.Text("rotate.keep_hint"),
	}}
	for _, k := range tokenKeeps {
		text := q.Text("rotate.keep_now")
		if k.For > 0 {
			text = q.Span(k.For)
		}
		f.Options = append(f.Options, TokenOption{k.Value, text, k.Value == now})
	}
	return f
}

// ReadKeep reads that field. None is none: the old token ends at once.
func (q *Request) ReadKeep(value string) (time.Duration, error) {
	for _, k := range tokenKeeps {
		if k.Value == value || value == "" && k.For == 0 {
			return k.For, nil
		}
	}
	return 0, tokenFault("keep", q.Text("rotate.keep_which"))
}

// lines returns the lines of a text that are not blank, nil for none.
func lines(s string) []string {
	var list []string
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, line)
		}
	}
	return list
}
