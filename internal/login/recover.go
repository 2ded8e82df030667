package login

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/oidc"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Recovery says how far an account is taken back from whoever else may have got in. The zero value takes all away but the
// person's identities at providers, which are told.
type Recovery struct {
	KeepSessions bool     // every session goes on
	KeepSession  string   // the id of one that goes on
	KeepBrowsers []string // device tokens of browsers that stay known
	KeepLinks    bool     // a link on its way to the person stays good

	Identities  bool      // unlink them all …
	LinkedSince time.Time // … or those that were linked since, where it is not zero

	// Note writes an event of the act's actor, with the time and all that is known of the client.
	Note func(ctx context.Context, tx store.Tx, e store.Event) error
}

// Recovered is what was taken away, and which identities are left.
type Recovered struct {
	Sessions, Browsers, Links int
	Unlinked, Left            []store.Identity
}

// Describe adds it to the details of an event.
func (r Recovered) Describe(details map[string]string) {
	if _, told := details["sessions_ended"]; !told || r.Sessions > 0 {
		details["sessions_ended"] = strconv.Itoa(r.Sessions)
	}
	for name, n := range map[string]int{"browsers_forgotten": r.Browsers, "links_canceled": r.Links,
		"identities_unlinked": len(r.Unlinked), "identities_left": len(r.Left)} {
		if n > 0 {
			details[name] = strconv.Itoa(n)
		}
	}
}

// way is something that lets somebody into an account, or back in.
type way struct {
	table string // where the store keeps it
	end   func(ctx context.Context, tx store.Tx, u store.User, r Recovery, out *Recovered) error
}

// ways are all of them. A table of the store that names users and is no way in is told so in a test, which fails for one
// that it does not know: what outlives a recovery by being forgotten here is open to whoever it was meant to keep out.
var ways = []way{
	{"sessions", endSessions},
	{"devices", forgetBrowsers},
	{"links", cancelLinks},
	{"flows", endFlows},
	{"identities", endIdentities},
}

// Recover takes an account back, in the change that gives it another password or turns it off. Passwords are the
// caller's.
func Recover(ctx context.Context, tx store.Tx, u store.User, r Recovery) (Recovered, error) {
	var out Recovered
	for _, w := range ways {
		if err := w.end(ctx, tx, u, r, &out); err != nil {
			return Recovered{}, err
		}
	}
	return out, nil
}

// endSessions ends them by row and by epoch, so that none survives whatever happens to its row. A session that goes on
// has to be renewed with the new epoch.
func endSessions(ctx context.Context, tx store.Tx, u store.User, r Recovery, out *Recovered) error {
	if r.KeepSessions {
		return nil
	}
	ended, err := tx.EndSessions(ctx, store.SessionSelector{UserID: u.ID, Except: r.KeepSession})
	if err != nil {
		return err
	}
	out.Sessions = len(ended)
	return tx.BumpEpoch(ctx, u.ID)
}

func forgetBrowsers(ctx context.Context, tx store.Tx, u store.User, r Recovery, out *Recovered) (err error) {
	keep := make([]store.TokenHash, len(r.KeepBrowsers))
	for i, token := range r.KeepBrowsers {
		keep[i] = store.HashToken(token)
	}
	out.Browsers, err = tx.ForgetDevices(ctx, u.ID, keep...)
	return err
}

func cancelLinks(ctx context.Context, tx store.Tx, u store.User, r Recovery, out *Recovered) (err error) {
	if r.KeepLinks {
		return nil
	}
	out.Links, err = tx.CancelLinks(ctx, store.LinkPassword, u.ID)
	return err
}

func endFlows(ctx context.Context, tx store.Tx, u store.User, _ Recovery, _ *Recovered) error {
	return tx.EndFlows(ctx, u.ID)
}

func endIdentities(ctx context.Context, tx store.Tx, u store.User, r Recovery, out *Recovered) error {
	ids, err := tx.Identities(ctx, u.ID)
	if err != nil {
		return err
	}
	for _, id := range ids {
		since := !r.LinkedSince.IsZero() && !id.CreatedAt.Before(r.LinkedSince)
		if !r.Identities && !since {
			out.Left = append(out.Left, id)
			continue
		}
		if _, err := UnlinkIdentity(ctx, tx, id, r.Note); err != nil {
			return err
		}
		out.Unlinked = append(out.Unlinked, id)
	}
	return nil
}

// UnlinkIdentity takes an identity from its account, and with it all that came through it: sessions, groups, and the role
// of an account whose role no one here gave. It returns how many sessions ended. note may be nil.
func UnlinkIdentity(ctx context.Context, tx store.Tx, id store.Identity, note func(context.Context, store.Tx, store.Event) error) (int, error) {
	u, err := tx.User(ctx, id.UserID)
	if err != nil {
		return 0, err
	}
	if err := tx.DeleteIdentity(ctx, id.Issuer, id.Subject); err != nil {
		return 0, err
	}
	ended, err := endOf(ctx, tx, id)
	if err != nil {
		return 0, err
	}
	if err := withoutIdentity(ctx, tx, u); err != nil || note == nil {
		return ended, err
	}
	return ended, note(ctx, tx, store.Event{
		Action: "identity.unlink", TargetID: u.ID, Target: u.Username, Outcome: store.Success,
		Details: map[string]string{"provider": id.Provider, "issuer": oidc.Clean(id.Issuer, 200), "subject": oidc.Clean(id.Subject, 80),
			"identity": id.ID(), "sessions_ended": strconv.Itoa(ended)},
	})
}

// MoveIdentity links an identity to another account, and takes from its present one what came through it. It returns how
// many sessions ended.
func MoveIdentity(ctx context.Context, tx store.Tx, id store.Identity, userID string) (int, error) {
	u, err := tx.User(ctx, id.UserID)
	if err != nil {
		return 0, err
	}
	ended, err := endOf(ctx, tx, id)
	if err != nil {
		return 0, err
	}
	if err := tx.MoveIdentity(ctx, id.Issuer, id.Subject, userID); err != nil {
		return 0, err
	}
	given := id
	given.Groups = nil // until the provider says so again
	if err := tx.UpdateIdentity(ctx, given); err != nil {
		return 0, err
	}
	return ended, withoutIdentity(ctx, tx, u)
}

// endOf ends the sessions that began with an identity.
func endOf(ctx context.Context, tx store.Tx, id store.Identity) (int, error) {
	ended, err := tx.EndSessions(ctx, store.SessionSelector{Issuer: id.Issuer, Subject: id.Subject})
	return len(ended), err
}

// withoutIdentity takes back what an identity gave an account that has lost it.
func withoutIdentity(ctx context.Context, tx store.Tx, u store.User) error {
	others, err := tx.Identities(ctx, u.ID)
	if err != nil {
		return err
	}
	var stay []string
	for _, o := range others {
		stay = append(stay, o.Groups...)
	}
	after := u
	provide(&after, stay)
	if len(others) == 0 && !u.RoleGranted && !u.Managed {
		after.Role, after.RoleProvided = store.RoleUser, false
	}
	if after.Role == u.Role && slices.Equal(after.Groups, u.Groups) && slices.Equal(after.ProvidedGroups, u.ProvidedGroups) {
		return nil
	}
	_, err = tx.UpdateUser(ctx, after)
	if errors.Is(err, store.ErrLastAdmin) { // nobody else could undo it
		after.Role, after.RoleProvided = u.Role, u.RoleProvided
		_, err = tx.UpdateUser(ctx, after)
	}
	return err
}
