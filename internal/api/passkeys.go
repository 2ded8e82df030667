package api

import (
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/passkey"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Passkey is a passkey of the person who asks. RPID is the domain that it works on.
type Passkey struct {
	ID           string     `json:"id"`
	Name         string     `json:"name"`
	RPID         string     `json:"rp_id"`
	CredentialID string     `json:"credential_id"`
	Provider     string     `json:"provider"` // "" for one that is not known
	Synced       bool       `json:"synced"`   // it may be on several devices
	SignsIn      bool       `json:"signs_in"` // it can be the only thing in a sign-in
	CounterBack  bool       `json:"counter_back"`
	CreatedAt    time.Time  `json:"created_at"`
	LastUsedAt   *time.Time `json:"last_used_at"` // null: never
}

// NewPasskey returns a passkey as it travels.
func NewPasskey(k store.Passkey) Passkey {
	return Passkey{
		ID: k.ID, Name: k.Name, RPID: k.RPID, CredentialID: k.CredentialID, Provider: passkey.Provider(k),
		Synced: k.BackupEligible, SignsIn: k.SignsInAlone(), CounterBack: k.CounterBack,
		CreatedAt: k.CreatedAt.UTC().Truncate(time.Millisecond), LastUsedAt: timeOrNil(k.LastUsedAt),
	}
}

// Bodies of requests.
type (
	// addPasskey begins to add a passkey when it is empty, and otherwise holds what a browser has made. Attestation is the
	// JSON of the credential, as a text.
	addPasskey struct {
		State       *string `json:"state"`
		Attestation *string `json:"attestation"`
		Name        *string `json:"name"`
	}
	renamePasskey struct {
		Name string `json:"name" need:"true"`
	}
)

// ownPasskeys are the endpoints for the passkeys of the person who asks.
type ownPasskeys struct{ *web.Deps }

func (o ownPasskeys) routes() []web.Route {
	const all, one = "/api/v1/me/passkeys", "/api/v1/me/passkeys/{id}"
	return []web.Route{
		{
			Method: http.MethodGet, Pattern: all, Access: web.SignedIn, Handle: o.list,
			Doc: &web.Operation{Summary: "List one's own passkeys", Gives: List[Passkey]{}, Status: http.StatusOK},
		},
		{
			Method: http.MethodPost, Pattern: all, Access: web.SignedIn, Handle: o.add,
			Doc: &web.Operation{
				Summary: "Add a passkey of one's own: without state, the response is 200 with the publicKey for " +
					"navigator.credentials.create and a state",
				Takes: struct {
					State       string `json:"state"`
					Attestation string `json:"attestation"`
					Name        string `json:"name"`
				}{}, Gives: Passkey{}, Status: http.StatusCreated,
			},
		},
		{
			Method: http.MethodPatch, Pattern: one, Access: web.SignedIn, Handle: o.rename,
			Doc: &web.Operation{
				Summary: "Name one of one's own passkeys", Takes: renamePasskey{}, Gives: Passkey{}, Status: http.StatusOK,
			},
		},
		{
			Method: http.MethodDelete, Pattern: one, Access: web.SignedIn, Handle: o.remove,
			Doc: &web.Operation{Summary: "Remove one of one's own passkeys", Status: http.StatusNoContent},
		},
	}
}

func (o ownPasskeys) list(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if !o.Login.PasskeysOn() {
		return store.ErrNotFound
	}
	list, err := o.Store.Passkeys(r.Context(), q.Live.User.ID)
	if err != nil {
		return err
	}
	ui.WriteJSON(w, r, http.StatusOK, newList(list, "", NewPasskey))
	return nil
}

func (o ownPasskeys) add(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	var body addPasskey
	if err := ui.ReadJSON(w, r, &body); err != nil {
		return err
	}
	switch {
	case body.State != nil || body.Attestation != nil:
	case body.Name != nil:
		return refusedField("name", q.Text("api.passkey_name"))
	default:
		return q.WritePasskeyOptions(w, r, func(at login.PasskeyAt) (passkey.Options, error) {
			return o.Accounts.Passkeys.Begin(r.Context(), q.Actor(), at)
		})
	}
	given := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	made := q.PasskeyResponse(given(body.State), given(body.Attestation))
	added, err := o.Accounts.Passkeys.Add(r.Context(), q.Actor(), made, given(body.Name), q.PasskeyName)
	if err != nil {
		return err
	}
	q.SetSession(w, added.SignedIn)
	ui.WriteJSON(w, r, http.StatusCreated, NewPasskey(added.Passkey))
	return nil
}

func (o ownPasskeys) rename(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	var body renamePasskey
	if err := ui.ReadJSON(w, r, &body); err != nil {
		return err
	}
	k, err := o.Accounts.Passkeys.Rename(r.Context(), q.Actor(), r.PathValue("id"), body.Name)
	if err != nil {
		return err
	}
	ui.WriteJSON(w, r, http.StatusOK, NewPasskey(k))
	return nil
}

func (o ownPasskeys) remove(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	if _, err := o.Accounts.Passkeys.Remove(r.Context(), q.Actor(), r.PathValue("id")); err != nil {
		return err
	}
	noContent(w, r)
	return nil
}
