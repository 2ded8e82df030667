package portal

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/policy"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// UserJSON is a user in the JSON API. Times are RFC 3339 in UTC; LastLoginAt is null for "never".
type UserJSON struct {
	ID          string     `json:"id"`
	Username    string     `json:"username"`
	Email       string     `json:"email"`
	Name        string     `json:"name"`
	Role        store.Role `json:"role"`
	Groups      []string   `json:"groups"`
	Active      bool       `json:"active"`
	Pending     bool       `json:"pending"`
	Managed     bool       `json:"managed"`
	CreatedAt   time.Time  `json:"created_at"`
	UpdatedAt   time.Time  `json:"updated_at"`
	LastLoginAt *time.Time `json:"last_login_at"`
}

// NewUserJSON shows a user.
func NewUserJSON(u store.User) UserJSON {
	j := UserJSON{
		ID: u.ID, Username: u.Username, Email: u.Email, Name: u.Name, Role: u.Role, Groups: list(u.Groups),
		Active: u.Active, Pending: u.Pending, Managed: u.Managed, CreatedAt: u.CreatedAt.UTC(), UpdatedAt: u.UpdatedAt.UTC(),
	}
	if !u.LastLoginAt.IsZero() {
		t := u.LastLoginAt.UTC()
		j.LastLoginAt = &t
	}
	return j
}

// list makes an empty list of none, so that programs always find a list.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// SessionJSON is a session in the JSON API. ID is never the cookie's value. User is the username.
type SessionJSON struct {
	ID         string    `json:"id"`
	User       string    `json:"user"`
	CreatedAt  time.Time `json:"created_at"`
	LastSeenAt time.Time `json:"last_seen_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	IP         string    `json:"ip"`
	UserAgent  string    `json:"user_agent"`
	Method     string    `json:"method"`
	Provider   string    `json:"provider"`
	Current    bool      `json:"current"`
}

// NewSessionJSON shows a session; current is the id of the one that asks.
func NewSessionJSON(s store.SessionRow, current string) SessionJSON {
	return SessionJSON{
		ID: s.ID, User: s.Username, CreatedAt: s.CreatedAt.UTC(), LastSeenAt: s.LastSeenAt.UTC(), ExpiresAt: s.ExpiresAt.UTC(),
		IP: s.IP, UserAgent: s.UserAgent, Method: s.Method, Provider: providerName(s.Provider), Current: s.ID == current,
	}
}

// providerName returns the name under which rules and headers know a provider, too.
func providerName(name string) string {
	if name == "" {
		return policy.LocalProvider
	}
	return name
}

// ListJSON is a page of a list in the JSON API; Next is the cursor of the next one, "" on the last.
type ListJSON[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next"`
}

type currentJSON struct {
	User          currentUser `json:"user"`
	Auth          currentAuth `json:"auth"`
	ExpiresAt     time.Time   `json:"expires_at"`
	IdleExpiresAt time.Time   `json:"idle_expires_at"`
}

type currentUser struct {
	ID       string     `json:"id"`
	Username string     `json:"username"`
	Email    string     `json:"email"`
	Name     string     `json:"name"`
	Role     store.Role `json:"role"`
	Groups   []string   `json:"groups"`
	Managed  bool       `json:"managed"`
}

type currentAuth struct {
	Method   string     `json:"method"`
	Provider string     `json:"provider"`
	Time     *time.Time `json:"time"` // null when nobody knows: the provider does not say
}

// knownTime returns nil for the zero time.
func knownTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// apiSession tells an app who is signed in and for how long. Asking does not count as a use of the session.
func (p *Portal) apiSession(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if q.Live == nil {
		return web.ErrSignIn
	}
	s, u := q.Live.Session, q.Live.User
	ui.WriteJSON(w, r, http.StatusOK, currentJSON{
		User:      currentUser{u.ID, u.Username, u.Email, u.Name, u.Role, list(u.Groups), u.Managed},
		Auth:      currentAuth{s.Method, providerName(s.Provider), knownTime(s.AuthAt)},
		ExpiresAt: s.ExpiresAt.UTC(), IdleExpiresAt: q.Live.IdleExpiresAt().UTC(),
	})
	return nil
}

func (p *Portal) apiMe(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	u, err := p.Store.User(r.Context(), q.Live.User.ID)
	if err != nil {
		return err
	}
	ui.WriteJSON(w, r, http.StatusOK, NewUserJSON(p.OIDC.Effective(&q.Live.Session, u)))
	return nil
}

// patchMe is what PATCH me takes. The fields that only an administrator changes are known so that the refusal can say
// so.
type patchMe struct {
	Name     *string         `json:"name"`
	Username json.RawMessage `json:"username"`
	Email    json.RawMessage `json:"email"`
	Role     json.RawMessage `json:"role"`
	Groups   json.RawMessage `json:"groups"`
	Active   json.RawMessage `json:"active"`
}

func (b patchMe) locked() bool {
	return b.Username != nil || b.Email != nil || b.Role != nil || b.Groups != nil || b.Active != nil
}

func (p *Portal) apiPatchMe(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	var body patchMe
	if err := ui.ReadJSON(w, r, &body); err != nil {
		return err
	}
	if body.locked() {
		return q.LockedError(q.Live.User)
	}
	u := q.Live.User
	var err error
	if body.Name != nil {
		u, err = p.Accounts.UpdateProfile(r.Context(), q.Actor(), u.ID, *body.Name)
		u = p.OIDC.Effective(&q.Live.Session, u) // what the session may, as GET says
	}
	if err != nil {
		return err
	}
	ui.WriteJSON(w, r, http.StatusOK, NewUserJSON(u))
	return nil
}

type passwordJSON struct {
	Current   string `json:"current_password"`
	New       string `json:"new_password"`
	EndOthers *bool  `json:"end_others"` // true when left out
}

func (p *Portal) apiPassword(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	var body passwordJSON
	if err := ui.ReadJSON(w, r, &body); err != nil {
		return err
	}
	end := body.EndOthers == nil || *body.EndOthers
	in, err := p.Accounts.ChangeOwnPassword(r.Context(), q.Actor(), q.Live, body.Current, body.New, end)
	if errors.Is(err, login.ErrWrong) {
		err = &ui.InputError{Status: http.StatusUnprocessableEntity, Text: q.Text("error.wrong-password.text"), Fields: []ui.FieldError{q.WrongPassword()}}
	}
	if err != nil {
		return err
	}
	q.SetSession(w, in)
	p.noContent(w, r)
	return nil
}

func (p *Portal) noContent(w http.ResponseWriter, r *http.Request) {
	ui.Harden(w, r)
	w.WriteHeader(http.StatusNoContent)
}

// ReadPage reads cursor and limit of a list: limit 1 to 1000, 50 when left out.
func ReadPage(r *http.Request) (cursor string, limit int, err error) {
	q := r.URL.Query()
	if s := q.Get("limit"); s != "" {
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 || limit > 1000 {
			return "", 0, ui.BadInput(http.StatusBadRequest, "input.limit", ui.Fault("limit", "input.limit_field"))
		}
	}
	return q.Get("cursor"), limit, nil
}

func (p *Portal) apiSessions(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	cursor, limit, err := ReadPage(r)
	if err != nil {
		return err
	}
	rows, err := p.Store.Sessions(r.Context(), store.SessionQuery{UserID: q.Live.User.ID, Now: p.Clock(), Cursor: cursor, Limit: limit})
	if err != nil {
		return err
	}
	out := ListJSON[SessionJSON]{Items: []SessionJSON{}, Next: rows.Next}
	for _, row := range rows.Items {
		if row.ID == q.Live.Session.ID {
			row.LastSeenAt = q.Live.LastSeen() // the store learns of uses in batches
		}
		out.Items = append(out.Items, NewSessionJSON(row, q.Live.Session.ID))
	}
	ui.WriteJSON(w, r, http.StatusOK, out)
	return nil
}

func (p *Portal) apiEndSession(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	s, err := q.OwnSession(r)
	if err == nil {
		err = p.Accounts.EndOwnSession(r.Context(), q.Actor(), s.ID)
	}
	if err != nil {
		return err
	}
	if s.ID == q.Live.Session.ID {
		q.Cookie.Clear(w)
	}
	p.noContent(w, r)
	return nil
}
