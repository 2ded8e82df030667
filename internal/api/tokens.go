package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/duration"
	"github.com/gatehouse-auth/gatehouse/internal/reqctx"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Token is a token of a program. User is the username of its owner, and Kind the owner's. Paths are empty for all.
type Token struct {
	ID         string             `json:"id"`
	Name       string             `json:"name"`
	User       string             `json:"user"`
	Kind       store.UserKind     `json:"kind" enum:"person,service"`
	Hosts      []string           `json:"hosts"`
	Paths      []string           `json:"paths"`
	Methods    store.TokenMethods `json:"methods" enum:"read,all"`
	CreatedAt  time.Time          `json:"created_at"`
	ExpiresAt  *time.Time         `json:"expires_at"`   // null: never
	LastUsedAt *time.Time         `json:"last_used_at"` // null: never
	LastUsedIP string             `json:"last_used_ip"`
	Hint       string             `json:"hint"` // the last four characters of the text
}

// NewToken returns a token of a user as it travels.
func NewToken(t store.Token, u store.User) Token {
	return Token{
		ID: t.ID, Name: t.Name, User: u.Username, Kind: kindOf(u), Hosts: nonNil(t.Hosts), Paths: nonNil(t.Paths),
		Methods: t.Methods, CreatedAt: t.CreatedAt.UTC().Truncate(time.Millisecond), ExpiresAt: millisOrNil(t.ExpiresAt),
		LastUsedAt: timeOrNil(t.LastUsedAt), LastUsedIP: t.LastUsedIP, Hint: t.Hint,
	}
}

// NewTokenRow returns a token of a list as it travels.
func NewTokenRow(row store.TokenRow) Token {
	return NewToken(row.Token, store.User{Username: row.Username, Kind: row.Kind})
}

// IssuedToken is a new token. Token is its text, which is shown this once.
type IssuedToken struct {
	Token
	Text string `json:"token"`
}

// NewIssuedToken returns a new token as it travels.
func NewIssuedToken(t account.IssuedToken) IssuedToken {
	return IssuedToken{NewToken(t.Token, t.Owner), t.Text}
}

// Never is what expires_in says of a token that does not expire.
const Never = "never"

// Bodies of requests.
type (
	createToken struct {
		Name      string   `json:"name"`
		ExpiresAt *string  `json:"expires_at"` // RFC 3339
		ExpiresIn *string  `json:"expires_in"` // a duration, or never
		Hosts     []string `json:"hosts"`
		Paths     []string `json:"paths"`
		Methods   string   `json:"methods"` // all when left out
	}
	// createTokenDoc describes createToken.
	createTokenDoc struct {
		Name      string    `json:"name" need:"true"`
		ExpiresAt time.Time `json:"expires_at"`
		ExpiresIn string    `json:"expires_in"`
		Hosts     []string  `json:"hosts"`
		Paths     []string  `json:"paths"`
		Methods   string    `json:"methods" enum:"read,all"`
	}
	rotateToken struct {
		Keep string `json:"keep"` // how long the old one goes on: now (when left out), or a duration of at most 168h
	}
)

// fields returns the fields of the new token. An end that is none is refused with all else that is wrong.
func (b createToken) fields(q *web.Request) account.NewToken {
	n := account.NewToken{Name: b.Name, Hosts: b.Hosts, Paths: b.Paths, Methods: store.TokenMethods(b.Methods)}
	wrong := func(field, text string) { n.End = &account.FieldError{Field: field, Text: q.Text(text)} }
	switch {
	case b.ExpiresAt != nil && b.ExpiresIn != nil:
		wrong("expires_at", "api.token_two_ends")
	case b.ExpiresAt != nil:
		at, err := time.Parse(time.RFC3339, *b.ExpiresAt)
		if err != nil || at.IsZero() {
			wrong("expires_at", "api.token_time")
		}
		n.Until = at
	case b.ExpiresIn != nil && *b.ExpiresIn == Never:
		n.Never = true
	case b.ExpiresIn != nil:
		d, err := duration.Parse(*b.ExpiresIn)
		if err != nil {
			wrong("expires_in", "api.token_duration")
		}
		n.Expires = d
	}
	return n
}

// keep returns how long the old token goes on.
func (b rotateToken) keep(q *web.Request) (time.Duration, error) {
	if b.Keep == "" || b.Keep == "now" {
		return 0, nil
	}
	d, err := duration.Parse(b.Keep)
	if err != nil {
		return 0, &account.InvalidError{Fields: []account.FieldError{{Field: "keep", Text: q.Text("api.token_keep")}}}
	}
	return d, nil
}

// whileTokens is a handler of an address that is there only where the configuration has tokens.
func whileTokens(d *web.Deps, h web.Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request, q *web.Request) error {
		if d.Accounts.Tokens == nil {
			return store.ErrNotFound
		}
		return h(w, r, q)
	}
}

// ownTokens are the endpoints for the tokens of the person who asks.
type ownTokens struct{ *web.Deps }

func (o ownTokens) routes() []web.Route {
	const all, one = "/api/v1/me/tokens", "/api/v1/me/tokens/{id}"
	return []web.Route{
		{
			Method: http.MethodGet, Pattern: all, Access: web.SignedIn, Handle: whileTokens(o.Deps, o.list),
			Doc: &web.Operation{
				Summary: "List one's own tokens", Params: pageParams, Gives: List[Token]{}, Status: http.StatusOK,
			},
		},
		{
			Method: http.MethodPost, Pattern: all, Access: web.SignedIn, Handle: whileTokens(o.Deps, o.create),
			Doc: &web.Operation{
				Summary: "Make a token of one's own; its text is in this response only",
				Takes:   createTokenDoc{}, Gives: IssuedToken{}, Status: http.StatusCreated,
			},
		},
		{
			Method: http.MethodDelete, Pattern: one, Access: web.SignedIn, Handle: whileTokens(o.Deps, o.revoke),
			Doc: &web.Operation{Summary: "Revoke one of one's own tokens", Status: http.StatusNoContent},
		},
		{
			Method: http.MethodPost, Pattern: one + "/rotate", Access: web.SignedIn, Handle: whileTokens(o.Deps, o.rotate),
			Doc: &web.Operation{
				Summary: "Replace one of one's own tokens by a new one of the same scope and length of life",
				Takes:   rotateToken{}, Gives: IssuedToken{}, Status: http.StatusCreated, Bare: true,
			},
		},
	}
}

func (o ownTokens) list(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	return writeTokens(w, r, q, o.Deps, store.TokenQuery{UserID: q.Live.User.ID})
}

func (o ownTokens) create(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	n, err := readToken(w, r, q)
	if err != nil {
		return err
	}
	if len(n.Hosts) == 0 {
		n.Hosts = ownHost(q)
	}
	made, err := o.Accounts.Programs.CreateOwn(r.Context(), q.Actor(), n)
	return writeIssued(w, r, made, err)
}

// ownHost returns the host that was asked, none where it is not known.
func ownHost(q *web.Request) []string {
	host, ok := reqctx.ParseHost(q.Host)
	if !ok {
		return nil
	}
	return []string{host.Name}
}

func (o ownTokens) revoke(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if err := o.Accounts.Programs.RevokeOwn(r.Context(), q.Actor(), r.PathValue("id")); err != nil {
		return err
	}
	noContent(w, r)
	return nil
}

func (o ownTokens) rotate(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	keep, err := readKeep(w, r, q)
	if err != nil {
		return err
	}
	made, err := o.Accounts.Programs.RotateOwn(r.Context(), q.Actor(), r.PathValue("id"), keep)
	return writeIssued(w, r, made, err)
}

// tokens are the endpoints with which administrators keep tokens: they see everybody's, and make those of service
// accounts.
type tokens struct{ *web.Deps }

func (t tokens) routes() []web.Route {
	const ofUser = "/api/v1/users/{id}/tokens"
	return []web.Route{
		{
			Method: http.MethodGet, Pattern: "/api/v1/tokens", Access: web.Admin, Handle: whileTokens(t.Deps, t.list),
			Doc: &web.Operation{
				Summary: "List the tokens of everybody",
				Params:  slices.Concat([]string{"user"}, pageParams), Gives: List[Token]{}, Status: http.StatusOK,
			},
		},
		{
			Method: http.MethodDelete, Pattern: "/api/v1/tokens/{id}", Access: web.AdminFresh,
			Audit: "token.revoke", Handle: whileTokens(t.Deps, t.revoke),
			Doc: &web.Operation{Summary: "Revoke a token", Status: http.StatusNoContent},
		},
		{
			Method: http.MethodPost, Pattern: "/api/v1/tokens/{id}/rotate", Access: web.AdminFresh,
			Audit: "token.rotate", Handle: whileTokens(t.Deps, t.rotate),
			Doc: &web.Operation{
				Summary: "Replace a service account's token by a new one of the same scope and length of life",
				Takes:   rotateToken{}, Gives: IssuedToken{}, Status: http.StatusCreated, Bare: true,
			},
		},
		{
			Method: http.MethodGet, Pattern: ofUser, Access: web.Admin, Handle: whileTokens(t.Deps, t.listOfUser),
			Doc: &web.Operation{
				Summary: "List the tokens of a user", Params: pageParams, Gives: List[Token]{}, Status: http.StatusOK,
			},
		},
		{
			Method: http.MethodPost, Pattern: ofUser, Access: web.AdminFresh,
			Audit: "token.create", Handle: whileTokens(t.Deps, t.create),
			Doc: &web.Operation{
				Summary: "Make a token of a service account; its text is in this response only",
				Takes:   createTokenDoc{}, Gives: IssuedToken{}, Status: http.StatusCreated,
			},
		},
	}
}

func (t tokens) list(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	query := store.TokenQuery{UserID: q.Query.Get("user")}
	if query.UserID != "" && !store.ValidID(query.UserID) {
		return store.ErrNotFound
	}
	_, limit, err := readPage(q.Query)
	if err != nil {
		return err
	}
	if err := auditRead(t.Deps, r, q, "token.export", limit); err != nil {
		return err
	}
	return writeTokens(w, r, q, t.Deps, query)
}

func (t tokens) listOfUser(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	u, err := t.Store.User(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return writeTokens(w, r, q, t.Deps, store.TokenQuery{UserID: u.ID})
}

func (t tokens) create(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	n, err := readToken(w, r, q)
	if err != nil {
		return err
	}
	made, err := t.Accounts.Programs.Create(r.Context(), q.Actor(), r.PathValue("id"), n)
	return writeIssued(w, r, made, err)
}

func (t tokens) revoke(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if err := t.Accounts.Programs.Revoke(r.Context(), q.Actor(), r.PathValue("id")); err != nil {
		return err
	}
	noContent(w, r)
	return nil
}

func (t tokens) rotate(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	keep, err := readKeep(w, r, q)
	if err != nil {
		return err
	}
	made, err := t.Accounts.Programs.Rotate(r.Context(), q.Actor(), r.PathValue("id"), keep)
	return writeIssued(w, r, made, err)
}

func readToken(w http.ResponseWriter, r *http.Request, q *web.Request) (account.NewToken, error) {
	var body createToken
	if err := ui.ReadJSON(w, r, &body); err != nil {
		return account.NewToken{}, err
	}
	return body.fields(q), nil
}

func readKeep(w http.ResponseWriter, r *http.Request, q *web.Request) (time.Duration, error) {
	var body rotateToken
	if err := ui.ReadJSONIfAny(w, r, &body); err != nil {
		return 0, err
	}
	return body.keep(q)
}

// writeTokens responds with a page of tokens.
func writeTokens(w http.ResponseWriter, r *http.Request, q *web.Request, d *web.Deps, query store.TokenQuery) error {
	var err error
	if query.Cursor, query.Limit, err = readPage(q.Query); err != nil {
		return err
	}
	page, err := d.Store.Tokens(r.Context(), query)
	if err != nil {
		return err
	}
	ui.WriteJSON(w, r, http.StatusOK, newList(page.Items, page.Next, NewTokenRow))
	return nil
}

// writeIssued responds with a new token, unless there is an error.
func writeIssued(w http.ResponseWriter, r *http.Request, made account.IssuedToken, err error) error {
	if err != nil {
		return err
	}
	ui.WriteJSON(w, r, http.StatusCreated, NewIssuedToken(made))
	return nil
}
