package api

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// User is a user. Times are RFC 3339 in UTC; LastLoginAt is null for "never".
type User struct {
	ID          string         `json:"id"`
	Kind        store.UserKind `json:"kind" enum:"person,service"`
	Username    string         `json:"username"`
	Email       string         `json:"email"`
	Name        string         `json:"name"`
	Role        store.Role     `json:"role"`
	Groups      []string       `json:"groups"`
	Active      bool           `json:"active"`
	Pending     bool           `json:"pending"`
	Managed     bool           `json:"managed"`
	CreatedAt   time.Time      `json:"created_at"`
	UpdatedAt   time.Time      `json:"updated_at"`
	LastLoginAt *time.Time     `json:"last_login_at"`
}

// NewUser returns a user as it travels.
func NewUser(u store.User) User {
	return User{
		ID: u.ID, Kind: kindOf(u), Username: u.Username, Email: u.Email, Name: u.Name, Role: u.Role, Groups: nonNil(u.Groups),
		Active: u.Active, Pending: u.Pending, Managed: u.Managed, CreatedAt: u.CreatedAt.UTC(), UpdatedAt: u.UpdatedAt.UTC(),
		LastLoginAt: timeOrNil(u.LastLoginAt),
	}
}

// kindOf returns what an account stands for.
func kindOf(u store.User) store.UserKind {
	if u.IsService() {
		return store.KindService
	}
	return store.KindPerson
}

// Bodies of requests. Fields that a request leaves out are nil or empty.
type (
	// createUser makes a user. Without a password the response has a one-time link, unless it is a service account.
	createUser struct {
		Kind       string   `json:"kind" enum:"person,service"` // person when left out
		Username   string   `json:"username" need:"true"`
		Email      string   `json:"email"`
		Name       string   `json:"name"`
		Role       string   `json:"role" enum:"admin,user"`
		Groups     []string `json:"groups"`
		Active     *bool    `json:"active"` // true when left out
		Password   string   `json:"password"`
		MustChange bool     `json:"must_change"`
	}
	// patchUser changes a user.
	patchUser struct {
		Username *string   `json:"username"`
		Email    *string   `json:"email"`
		Name     *string   `json:"name"`
		Role     *string   `json:"role" enum:"admin,user"`
		Groups   *[]string `json:"groups"`
		Active   *bool     `json:"active"`
	}
	// resetPassword sets a password, or asks for a link.
	resetPassword struct {
		Password   *string `json:"password"`
		MustChange bool    `json:"must_change"`
		Identities bool    `json:"identities"` // unlink the person at every provider, too
	}
	// endSessions says what ends beside sessions.
	endSessions struct {
		Identities bool `json:"identities"` // unlink the person at every provider, too
	}
)

// Bodies of responses.
type (
	// createdUser is a new user, and how they get in.
	createdUser struct {
		User
		Link      string     `json:"link,omitempty"`
		ExpiresAt *time.Time `json:"expires_at,omitempty"`
	}
	// oneTimeLink is a link to be handed to the person, and who else gets in until it is used.
	oneTimeLink struct {
		Link       string     `json:"link"`
		ExpiresAt  time.Time  `json:"expires_at"`
		Identities []Identity `json:"identities,omitempty"`
		Tokens     int        `json:"tokens,omitempty"` // of programs
	}
)

// users are the endpoints with which administrators keep accounts.
type users struct{ *web.Deps }

func (u users) routes() []web.Route {
	params := slices.Concat([]string{"q", "status", "role", "kind", "provider", "group", "mfa", "sort"}, pageParams)
	return []web.Route{
		{
			Method: http.MethodGet, Pattern: "/api/v1/users", Access: web.Admin, Handle: u.list,
			Doc: &web.Operation{Summary: "List users", Params: params, Gives: List[User]{}, Status: http.StatusOK},
		},
		{
			Method: http.MethodPost, Pattern: "/api/v1/users", Access: web.AdminFresh, Audit: "user.create", Handle: u.create,
			Doc: &web.Operation{
				Summary: "Make a user; a person without a password, with a one-time link",
				Takes:   createUser{}, Gives: createdUser{}, Status: http.StatusCreated, ETag: true,
			},
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/users/{id}", Access: web.Admin, Handle: u.read,
			Doc: &web.Operation{Summary: "Read a user", Gives: UserDetails{}, Status: http.StatusOK, ETag: true},
		},
		{
			Method: http.MethodPatch, Pattern: "/api/v1/users/{id}", Access: web.AdminFresh,
			Audit: "user.update", Handle: u.update,
			Doc: &web.Operation{
				Summary: "Change a user", Takes: patchUser{}, Gives: UserDetails{}, Status: http.StatusOK, ETag: true,
			},
		},
		{
			Method: http.MethodDelete, Pattern: "/api/v1/users/{id}", Access: web.AdminFresh,
			Audit: "user.delete", Handle: u.delete,
			Doc: &web.Operation{Summary: "Delete a user", Status: http.StatusNoContent, ETag: true},
		},
		{
			Method: http.MethodPost, Pattern: "/api/v1/users/{id}/reset-password", Access: web.AdminFresh,
			Audit: "password.reset", Handle: u.resetPassword,
			Doc: &web.Operation{
				Summary: "Set a password (204, or 200 with who else still gets in), or make a one-time link (200)",
				Takes:   resetPassword{}, Gives: oneTimeLink{}, Status: http.StatusOK, Empty: true,
			},
		},
		{
			Method: http.MethodPost, Pattern: "/api/v1/users/{id}/end-sessions", Access: web.AdminFresh,
			Audit: "session.end_all", Handle: u.endSessions,
			Doc: &web.Operation{
				Summary: "End all sessions of a user (204, or 200 with who else still gets in)",
				Takes:   endSessions{}, Gives: remainingAccess{}, Status: http.StatusOK, Empty: true, Bare: true,
			},
		},
		{
			Method: http.MethodPost, Pattern: "/api/v1/users/{id}/unlock", Access: web.AdminFresh,
			Audit: "user.unlock", Handle: u.unlock,
			Doc: &web.Operation{Summary: "End the wait after wrong passwords", Status: http.StatusNoContent},
		},
	}
}

func (u users) list(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	query, err := UserQuery(q.Query, u.Login.Second.DemandFor())
	if err != nil {
		return err
	}
	if query.Cursor, query.Limit, err = readPage(q.Query); err != nil {
		return err
	}
	if err := auditRead(u.Deps, r, q, "user.export", query.Limit); err != nil {
		return err
	}
	page, err := u.Store.Users(r.Context(), query)
	if err != nil {
		return err
	}
	ui.WriteJSON(w, r, http.StatusOK, newList(page.Items, page.Next, NewUser))
	return nil
}

func (u users) read(w http.ResponseWriter, r *http.Request, _ *web.Request) error {
	found, err := u.Store.User(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return writeUser(w, r, u.Deps, found)
}

func writeUser(w http.ResponseWriter, r *http.Request, d *web.Deps, u store.User) error {
	out, err := NewUserDetails(r.Context(), d.Accounts, u)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", etag(u))
	ui.WriteJSON(w, r, http.StatusOK, out)
	return nil
}

func (u users) create(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	var body createUser
	if err := ui.ReadJSON(w, r, &body); err != nil {
		return err
	}
	made, link, err := u.Accounts.Create(r.Context(), q.Actor(), account.NewUser{
		Kind: store.UserKind(body.Kind), Username: body.Username, Email: body.Email, Name: body.Name,
		Role: store.Role(body.Role), Groups: body.Groups, Password: body.Password, MustChange: body.MustChange,
		Active: body.Active == nil || *body.Active,
	})
	if err != nil {
		return err
	}
	out := createdUser{User: NewUser(made)}
	if link != nil {
		out.Link, out.ExpiresAt = linkURL(q, link), millisOrNil(link.ExpiresAt)
	}
	w.Header().Set("Location", q.At("/api/v1/users/"+made.ID))
	w.Header().Set("ETag", etag(made))
	ui.WriteJSON(w, r, http.StatusCreated, out)
	return nil
}

// linkURL returns a link as it is handed to a person, on the host that the front vouches for.
func linkURL(q *web.Request, link *account.IssuedLink) string {
	return q.Request.Absolute(link.Path(q.Prefix))
}

func (u users) update(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	var body patchUser
	if err := ui.ReadJSON(w, r, &body); err != nil {
		return err
	}
	found, err := u.Store.User(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	patch := account.Patch{
		Username: body.Username, Email: body.Email, Name: body.Name, Groups: body.Groups, Active: body.Active,
	}
	if body.Role != nil {
		role := store.Role(*body.Role)
		patch.Role = &role
	}
	if patch.Version, err = ifMatch(q, r, found); err != nil {
		return err
	}
	changed, err := u.Accounts.Update(r.Context(), q.Actor(), found.ID, patch)
	if err != nil {
		return ifMatchError(q, err, patch.Version)
	}
	return writeUser(w, r, u.Deps, changed)
}

func (u users) delete(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	found, err := u.Store.User(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	version, err := ifMatch(q, r, found)
	if err != nil {
		return err
	}
	if err := u.Accounts.DeleteVersion(r.Context(), q.Actor(), found.ID, version); err != nil {
		return ifMatchError(q, err, version)
	}
	noContent(w, r)
	return nil
}

// etag names the state of a user: its version, which every change moves.
func etag(u store.User) string { return `"` + strconv.FormatInt(u.Version, 10) + `"` }

// ifMatch returns the version to insist on: the one that If-Match names, 0 without one. Only the present one will do,
// by the strong comparison (RFC 9110, section 13.1.1): weak tags never match.
func ifMatch(q *web.Request, r *http.Request, u store.User) (int64, error) {
	lines := r.Header["If-Match"]
	if len(lines) == 0 {
		return 0, nil
	}
	for part := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		if part = strings.TrimSpace(part); part == "*" || part == etag(u) {
			return u.Version, nil
		}
	}
	return 0, preconditionFailed(q)
}

// ifMatchError turns the store's error about a version into that of the condition which the client set.
func ifMatchError(q *web.Request, err error, version int64) error {
	if version != 0 && errors.Is(err, store.ErrStale) {
		return preconditionFailed(q)
	}
	return err
}

func preconditionFailed(q *web.Request) error {
	return &ui.InputError{Status: http.StatusPreconditionFailed, Text: q.Text("api.stale")}
}

func (u users) resetPassword(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	var body resetPassword
	if err := ui.ReadJSON(w, r, &body); err != nil {
		return err
	}
	reset := account.Reset{MustChange: body.MustChange, Identities: body.Identities}
	if body.Password != nil {
		reset.Password = *body.Password
	}
	// An empty password is somebody's mistake, and not a wish for a link; anyone who opens a link sets a password anyway.
	if (body.Password != nil || body.MustChange) && reset.Password == "" {
		return &account.InvalidError{Fields: []account.FieldError{{Field: "password", Text: q.Text("way.missing")}}}
	}
	id := r.PathValue("id")
	link, err := u.Accounts.ResetPassword(r.Context(), q.Actor(), id, reset)
	if err != nil {
		return err
	}
	if link == nil {
		return writeRemaining(w, r, u.Deps, id)
	}
	left, err := u.Accounts.AccessLeft(r.Context(), id)
	if err != nil {
		return err
	}
	ui.WriteJSON(w, r, http.StatusOK, oneTimeLink{
		Link: linkURL(q, link), ExpiresAt: link.ExpiresAt.UTC().Truncate(time.Millisecond),
		Identities: newRemainingAccess(left).Identities, Tokens: left.Tokens,
	})
	return nil
}

func (u users) endSessions(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	id := r.PathValue("id")
	var body endSessions
	if err := ui.ReadJSONIfAny(w, r, &body); err != nil { // programs may send none
		return err
	}
	if _, err := u.Accounts.RevokeAccess(r.Context(), q.Actor(), id, body.Identities); err != nil {
		return err
	}
	return writeRemaining(w, r, u.Deps, id)
}

func (u users) unlock(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if err := u.Accounts.Unlock(r.Context(), q.Actor(), r.PathValue("id")); err != nil {
		return err
	}
	noContent(w, r)
	return nil
}
