package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Values of the parameters that select from a list.
var (
	UserStatuses = []string{"active", "inactive", "pending", "never"}
	Roles        = []string{string(store.RoleAdmin), string(store.RoleUser)}
	UserKinds    = []string{string(store.KindPerson), string(store.KindService)}
	MFAStates    = []string{string(store.MFANone), string(store.MFAAny), mfaRequiredMissing}
	Outcomes     = []string{string(store.Success), string(store.Failure), string(store.Denied)}
	Periods      = []string{"24h", "7d", "30d"} // that end now
)

// mfaRequiredMissing selects those who have to have a second factor, and have none.
const mfaRequiredMissing = "required_missing"

var periods = map[string]time.Duration{"24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour, "30d": 30 * 24 * time.Hour}

// userSorts are the orders of users. Times are known by their names in JSON, too.
var userSorts = map[string]store.UserSort{
	"username": store.SortUsername, "email": store.SortEmail,
	"created": store.SortCreated, "last_login": store.SortLastLogin,
	"created_at": store.SortCreated, "last_login_at": store.SortLastLogin,
}

// ActorKinds returns the kinds of actors in the audit log.
func ActorKinds() []string {
	names := make([]string, len(store.ActorKinds))
	for i, kind := range store.ActorKinds {
		names[i] = string(kind)
	}
	return names
}

// Choice returns a parameter that must be one of a few values, or "" if it is missing or empty.
func Choice(query url.Values, name string, values ...string) (string, error) {
	got := query.Get(name)
	if got == "" || slices.Contains(values, got) {
		return got, nil
	}
	return "", ui.BadInput(http.StatusBadRequest, "input.address_choice",
		ui.Fault(name, "input.one_of", "values", strings.Join(values, ", ")))
}

// UserQuery reads a query for users. Empty parameters, as forms send them, select nothing. demand says who has to have
// a second factor, see [login.SecondFactors.DemandFor]: nil for nobody.
func UserQuery(query url.Values, demand *store.MFADemand) (store.UserQuery, error) {
	out := store.UserQuery{
		Text: query.Get("q"), Provider: query.Get("provider"), Group: query.Get("group"), Cursor: query.Get("cursor"),
	}
	var err error
	if out.Status, err = Choice(query, "status", UserStatuses...); err != nil {
		return out, err
	}
	role, err := Choice(query, "role", Roles...)
	if err != nil {
		return out, err
	}
	out.Role = store.Role(role)
	kind, err := Choice(query, "kind", UserKinds...)
	if err != nil {
		return out, err
	}
	out.Kind = store.UserKind(kind)
	mfa, err := Choice(query, "mfa", MFAStates...)
	if err != nil {
		return out, err
	}
	SelectMFA(&out, mfa, demand)
	out.Sort, err = userSort(query)
	return out, err
}

// SelectMFA selects users by a state of [MFAStates], "" for any.
func SelectMFA(q *store.UserQuery, state string, demand *store.MFADemand) {
	if state != mfaRequiredMissing {
		q.MFA = store.MFAState(state)
		return
	}
	if demand == nil {
		demand = &store.MFADemand{} // nobody
	}
	q.MFA, q.MFAFor = store.MFANone, demand
}

func userSort(query url.Values) (store.UserSort, error) {
	name, desc := strings.CutPrefix(query.Get("sort"), "-")
	if name == "" && !desc {
		return store.SortUsername, nil
	}
	by, ok := userSorts[name]
	if !ok {
		_, err := Choice(query, "sort", "username", "email", "created", "last_login",
			"-username", "-email", "-created", "-last_login")
		return "", err
	}
	if desc {
		by = "-" + by
	}
	return by, nil
}

// SessionQuery reads a query for sessions that are valid now.
func SessionQuery(query url.Values, now time.Time) (store.SessionQuery, error) {
	out := store.SessionQuery{UserID: query.Get("user"), Text: query.Get("q"), Now: now, Cursor: query.Get("cursor")}
	if out.UserID != "" && !store.ValidID(out.UserID) {
		return out, store.ErrNotFound
	}
	return out, nil
}

// EventQuery reads a query for entries of the audit log.
func EventQuery(query url.Values, now time.Time) (store.EventQuery, error) {
	out := store.EventQuery{
		Text: query.Get("q"), UserID: query.Get("user"), Actor: query.Get("actor"), Action: query.Get("action"),
		Cursor: query.Get("cursor"),
	}
	if out.UserID != "" && !store.ValidID(out.UserID) {
		return out, store.ErrNotFound
	}
	outcome, err := Choice(query, "outcome", Outcomes...)
	if err != nil {
		return out, err
	}
	out.Outcome = store.Outcome(outcome)
	kind, err := Choice(query, "actor_kind", ActorKinds()...)
	if err != nil {
		return out, err
	}
	out.ActorKind = store.ActorKind(kind)
	if out.From, err = readTime(query, "from", false); err != nil {
		return out, err
	}
	if out.To, err = readTime(query, "to", true); err != nil {
		return out, err
	}
	since, err := Choice(query, "since", Periods...)
	if err == nil && since != "" {
		out.From = now.Add(-periods[since])
	}
	return out, err
}

// readTime reads a time (RFC 3339) or a day in UTC. The day that a period ends with belongs to it.
func readTime(query url.Values, name string, end bool) (time.Time, error) {
	s := query.Get(name)
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UTC(), nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return time.Time{}, ui.BadInput(http.StatusBadRequest, "input.address_date", ui.Fault(name, "input.date"))
	}
	if end {
		t = t.AddDate(0, 0, 1)
	}
	return t, nil
}

// Filter returns the parameters that select from a list, without the place in it.
func Filter(query url.Values) url.Values {
	out := url.Values{}
	for k, values := range query {
		if k != "cursor" && k != "dir" && len(values) > 0 && values[0] != "" {
			out[k] = values
		}
	}
	return out
}

// ExportDetails returns what the audit log says of an export: its format and what was selected.
func ExportDetails(format string, query url.Values) map[string]string {
	details := map[string]string{"format": format}
	for k, values := range Filter(query) {
		details["filter."+k] = values[0]
	}
	return details
}
