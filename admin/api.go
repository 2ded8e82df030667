package admin

import (
	"errors"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/portal"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Shapes of the JSON API that are not the portal's. Fields that a request leaves out are nil or empty.
type (
	// newUserJSON makes a user. Without a password the answer carries a one-time link.
	newUserJSON struct {
		Username   string   `json:"username" need:"true"`
		Email      string   `json:"email"`
		Name       string   `json:"name"`
		Role       string   `json:"role" enum:"admin,user"`
		Groups     []string `json:"groups"`
		Active     *bool    `json:"active"` // true when left out
		Password   string   `json:"password"`
		MustChange bool     `json:"must_change"`
	}
	// madeUserJSON is a new user, and how they get in.
	madeUserJSON struct {
		portal.UserJSON
		Link      string     `json:"link,omitempty"`
		ExpiresAt *time.Time `json:"expires_at,omitempty"`
	}
	// patchUserJSON changes a user.
	patchUserJSON struct {
		Username *string   `json:"username"`
		Email    *string   `json:"email"`
		Name     *string   `json:"name"`
		Role     *string   `json:"role" enum:"admin,user"`
		Groups   *[]string `json:"groups"`
		Active   *bool     `json:"active"`
	}
	// resetJSON gives a password, or asks for a link.
	resetJSON struct {
		Password   *string `json:"password"`
		MustChange bool    `json:"must_change"`
		Identities bool    `json:"identities"` // unlink the person at every provider, too
	}
	// linkJSON is a one-time link, to be handed to the person, and the other ways in that are left.
	linkJSON struct {
		Link       string                `json:"link"`
		ExpiresAt  time.Time             `json:"expires_at"`
		Identities []portal.IdentityJSON `json:"identities,omitempty"`
	}
	// endJSON says what ends beside sessions.
	endJSON struct {
		Identities bool `json:"identities"` // unlink the person at every provider, too
	}
	// eventJSON is an entry of the audit log.
	eventJSON struct {
		ID        string            `json:"id"`
		Time      time.Time         `json:"time"`
		Actor     string            `json:"actor"`
		ActorKind store.ActorKind   `json:"actor_kind" enum:"person,command_line,environment,start_up,provider,anonymous,system"`
		ActorID   string            `json:"actor_id"`
		Action    string            `json:"action"`
		Target    string            `json:"target"`
		Outcome   store.Outcome     `json:"outcome" enum:"success,failure,denied"`
		IP        string            `json:"ip"`
		RequestID string            `json:"request_id"`
		Details   map[string]string `json:"details"`
	}
	// providerJSON is how a provider is doing. Times are null for "not yet".
	providerJSON struct {
		Name         string     `json:"name"`
		Label        string     `json:"label"`
		Issuer       string     `json:"issuer"`
		RedirectURI  string     `json:"redirect_uri"`
		Scopes       []string   `json:"scopes"`
		Down         bool       `json:"down"`
		DiscoveredAt *time.Time `json:"discovered_at"`
		KeysAt       *time.Time `json:"keys_at"`
		Keys         int        `json:"keys"`
		SkewSeconds  float64    `json:"skew_seconds"`
		LastSuccess  *time.Time `json:"last_success_at"`
		LastError    string     `json:"last_error"`
		LastErrorAt  *time.Time `json:"last_error_at"`
		LogoutError  string     `json:"logout_error"`
		LogoutErrAt  *time.Time `json:"logout_error_at"`
	}
)

func newEventJSON(e store.Event) eventJSON {
	j := eventJSON{ID: e.ID, Time: e.Time.UTC(), Actor: e.Actor, ActorKind: e.ActorKind(), ActorID: e.ActorID, Action: e.Action, Target: e.Target, Outcome: e.Outcome, IP: e.IP, RequestID: e.RequestID, Details: e.Details}
	if j.Details == nil {
		j.Details = map[string]string{}
	}
	return j
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}

// etag names the state of a user: its version, which every change moves.
func etag(u store.User) string { return `"` + strconv.FormatInt(u.Version, 10) + `"` }

// matches returns the version to insist on: the one that If-Match names, 0 when it does not come. Only the present
// one will do, by the strong comparison (RFC 9110, section 13.1.1): weak tags never match.
func (a *admin) matches(q *web.Request, r *http.Request, u store.User) (int64, error) {
	lines := r.Header["If-Match"]
	if len(lines) == 0 {
		return 0, nil
	}
	for part := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		if part = strings.TrimSpace(part); part == "*" || part == etag(u) {
			return u.Version, nil
		}
	}
	return 0, &ui.InputError{Status: http.StatusPreconditionFailed, Text: q.Text("api.stale")}
}

// stale turns the store's word about the version into that of the condition which the client set.
func (a *admin) stale(q *web.Request, err error, version int64) error {
	if version != 0 && errors.Is(err, store.ErrStale) {
		return &ui.InputError{Status: http.StatusPreconditionFailed, Text: q.Text("api.stale")}
	}
	return err
}

func (a *admin) apiUsers(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	query, err := userQuery(q.Query)
	if err != nil {
		return err
	}
	if query.Cursor, query.Limit, err = portal.ReadPage(r); err != nil {
		return err
	}
	if err := a.noteRead(r, q, "user.export", query.Limit); err != nil {
		return err
	}
	page, err := a.Store.Users(r.Context(), query)
	if err != nil {
		return err
	}
	out := portal.ListJSON[portal.UserJSON]{Items: []portal.UserJSON{}, Next: page.Next}
	for _, u := range page.Items {
		out.Items = append(out.Items, portal.NewUserJSON(u))
	}
	ui.WriteJSON(w, r, http.StatusOK, out)
	return nil
}

func (a *admin) apiUser(w http.ResponseWriter, r *http.Request, _ *web.Request) error {
	u, err := a.target(r)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", etag(u))
	ui.WriteJSON(w, r, http.StatusOK, portal.NewUserJSON(u))
	return nil
}

func (a *admin) apiCreate(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	var body newUserJSON
	if err := ui.ReadJSON(w, r, &body); err != nil {
		return err
	}
	u, link, err := a.Accounts.Create(r.Context(), q.Actor(), account.NewUser{
		Username: body.Username, Email: body.Email, Name: body.Name, Role: store.Role(body.Role), Groups: body.Groups,
		Password: body.Password, MustChange: body.MustChange, Active: body.Active == nil || *body.Active,
	})
	if err != nil {
		return err
	}
	out := madeUserJSON{UserJSON: portal.NewUserJSON(u)}
	if link != nil {
		out.Link, out.ExpiresAt = a.address(q, link), moment(link.ExpiresAt)
	}
	w.Header().Set("Location", q.At("/api/v1/users/"+u.ID))
	w.Header().Set("ETag", etag(u))
	ui.WriteJSON(w, r, http.StatusCreated, out)
	return nil
}

// address answers a link as it is handed to a person, on the host that the front vouches for.
func (a *admin) address(q *web.Request, link *account.IssuedLink) string {
	return q.Origin() + link.Path(q.Prefix)
}

func (a *admin) apiPatch(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	var body patchUserJSON
	if err := ui.ReadJSON(w, r, &body); err != nil {
		return err
	}
	u, err := a.target(r)
	if err != nil {
		return err
	}
	p := account.Patch{Username: body.Username, Email: body.Email, Name: body.Name, Groups: body.Groups, Active: body.Active}
	if body.Role != nil {
		wanted := store.Role(*body.Role)
		p.Role = &wanted
	}
	if p.Version, err = a.matches(q, r, u); err != nil {
		return err
	}
	if u, err = a.Accounts.Update(r.Context(), q.Actor(), u.ID, p); err != nil {
		return a.stale(q, err, p.Version)
	}
	w.Header().Set("ETag", etag(u))
	ui.WriteJSON(w, r, http.StatusOK, portal.NewUserJSON(u))
	return nil
}

func (a *admin) apiDelete(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	u, err := a.target(r)
	if err != nil {
		return err
	}
	version, err := a.matches(q, r, u)
	if err != nil {
		return err
	}
	if err := a.Accounts.DeleteVersion(r.Context(), q.Actor(), u.ID, version); err != nil {
		return a.stale(q, err, version)
	}
	noContent(w, r)
	return nil
}

func noContent(w http.ResponseWriter, r *http.Request) {
	ui.Harden(w, r)
	w.WriteHeader(http.StatusNoContent)
}

func (a *admin) apiReset(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	var body resetJSON
	if err := ui.ReadJSON(w, r, &body); err != nil {
		return err
	}
	reset := account.Reset{MustChange: body.MustChange, Identities: body.Identities}
	if body.Password != nil {
		if *body.Password == "" {
			// An empty password is somebody's mistake, and not a wish for a link.
			return fieldError("password", q.Text("way.missing"))
		}
		reset.Password = *body.Password
	} else if body.MustChange {
		return fieldError("password", q.Text("way.missing")) // whoever opens a link sets a password anyway
	}
	id := r.PathValue("id")
	link, err := a.Accounts.ResetPassword(r.Context(), q.Actor(), id, reset)
	if err != nil {
		return err
	}
	if link == nil {
		return a.tellLeft(w, r, id)
	}
	list, err := a.left(r.Context(), id)
	if err != nil {
		return err
	}
	ui.WriteJSON(w, r, http.StatusOK, linkJSON{a.address(q, link), link.ExpiresAt.UTC().Truncate(time.Millisecond), list})
	return nil
}

func (a *admin) apiEndSessions(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	id := r.PathValue("id")
	var body endJSON
	if err := ui.ReadJSONIfAny(w, r, &body); err != nil { // programs may send none
		return err
	}
	if _, err := a.Accounts.EndWays(r.Context(), q.Actor(), id, body.Identities); err != nil {
		return err
	}
	return a.tellLeft(w, r, id)
}

func (a *admin) apiSessions(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	query, err := a.sessionQuery(q)
	if err != nil {
		return err
	}
	if query.Cursor, query.Limit, err = portal.ReadPage(r); err != nil {
		return err
	}
	if err := a.noteRead(r, q, "session.export", query.Limit); err != nil {
		return err
	}
	page, err := a.Store.Sessions(r.Context(), query)
	if err != nil {
		return err
	}
	out := portal.ListJSON[portal.SessionJSON]{Items: []portal.SessionJSON{}, Next: page.Next}
	for _, s := range page.Items {
		out.Items = append(out.Items, portal.NewSessionJSON(s, q.Live.Session.ID))
	}
	ui.WriteJSON(w, r, http.StatusOK, out)
	return nil
}

func (a *admin) apiEndSession(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if err := a.Accounts.EndSession(r.Context(), q.Actor(), r.PathValue("id")); err != nil {
		return err
	}
	noContent(w, r)
	return nil
}

func (a *admin) apiAudit(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	query, err := a.eventQuery(q.Query)
	if err != nil {
		return err
	}
	if query.Cursor, query.Limit, err = portal.ReadPage(r); err != nil {
		return err
	}
	if err := a.noteRead(r, q, "audit.export", query.Limit); err != nil {
		return err
	}
	page, err := a.Store.Events(r.Context(), query)
	if err != nil {
		return err
	}
	out := portal.ListJSON[eventJSON]{Items: []eventJSON{}, Next: page.Next}
	for _, e := range page.Items {
		out.Items = append(out.Items, newEventJSON(e))
	}
	ui.WriteJSON(w, r, http.StatusOK, out)
	return nil
}

func (a *admin) apiProviders(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	out := portal.ListJSON[providerJSON]{Items: []providerJSON{}}
	for _, p := range a.Providers() {
		scopes := p.Scopes
		if scopes == nil {
			scopes = []string{}
		}
		out.Items = append(out.Items, providerJSON{
			Name: p.Name, Label: p.Label, Issuer: p.Issuer, RedirectURI: q.Absolute(p.RedirectURI), Scopes: scopes, Down: p.Down,
			DiscoveredAt: moment(p.DiscoveredAt), KeysAt: moment(p.KeysAt), Keys: p.Keys, SkewSeconds: p.Skew.Seconds(),
			LastSuccess: moment(p.LastSuccess), LastError: p.LastError, LastErrorAt: moment(p.LastErrorAt),
			LogoutError: p.LogoutError, LogoutErrAt: moment(p.LogoutErrorAt),
		})
	}
	ui.WriteJSON(w, r, http.StatusOK, out)
	return nil
}

func (a *admin) apiDescription(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	doc := maps.Clone(a.api) // shared by all requests
	doc["servers"] = []any{map[string]any{"url": q.Prefix, "description": "this site"}}
	ui.WriteJSON(w, r, http.StatusOK, doc)
	return nil
}
