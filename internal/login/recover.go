package login

import (
	"context"
	"strconv"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Recovery says what is revoked when an account is recovered from an attacker. The zero value revokes everything but
// the user's identities at providers and second factors, which are reported.
type Recovery struct {
	KeepSessions bool     // keep all sessions
	KeepSession  string   // id of one session to keep
	KeepDevices  []string // device tokens of browsers that stay known
	KeepTrusted  []string // tokens of browsers that stay trusted
	KeepLinks    bool     // one-time links stay valid
	KeepTokens   bool     // tokens of programs stay valid
	Passkeys     bool     // remove all passkeys; those made since LinkedSince sign in alone no more in any case

	Identities  bool      // unlink all identities …
	LinkedSince time.Time // … or those that were linked since then, if not zero

	// Factors removes all second factors, with what has been proved by them in sessions that are kept. A new password
	// alone does not: they protect against whoever resets it, and only open the account together with it.
	Factors bool

	// Audit writes an audit event with the actor and the client of the request.
	Audit func(ctx context.Context, tx store.Tx, e store.Event) error
}

// Recovered says what was revoked, and which identities are left.
type Recovered struct {
	Sessions, Devices, Links, Tokens int
	Trusted                          int // browsers that were trusted
	Passkeys, PasskeysLeft           int
	PasskeysDistrusted               int // of those left: they sign in alone no more
	Unlinked, Remaining              []store.Identity

	TOTPs, TOTPsLeft int // authenticator apps that were removed, and confirmed ones that are left
	Codes, CodesLeft int // recovery codes, only unused ones
}

// Describe adds the counts to the details of an event.
func (r Recovered) Describe(details map[string]string) {
	if _, recorded := details["sessions_ended"]; !recorded || r.Sessions > 0 {
		details["sessions_ended"] = strconv.Itoa(r.Sessions)
	}
	for name, n := range map[string]int{
		"browsers_forgotten": r.Devices, "browsers_trusted_no_more": r.Trusted,
		"links_canceled": r.Links, "tokens_revoked": r.Tokens,
		"passkeys_removed": r.Passkeys, "passkeys_left": r.PasskeysLeft, "passkeys_distrusted": r.PasskeysDistrusted,
		"identities_unlinked": len(r.Unlinked), "identities_left": len(r.Remaining),
		"totps_removed": r.TOTPs, "totps_left": r.TOTPsLeft,
		"recovery_codes_removed": r.Codes, "recovery_codes_left": r.CodesLeft,
	} {
		if n > 0 {
			details[name] = strconv.Itoa(n)
		}
	}
}

// accessPath is something that gives access to an account.
type accessPath struct {
	table  string // where the store keeps it
	revoke func(ctx context.Context, tx store.Tx, u store.User, r Recovery, out *Recovered) error
}

// accessPaths are all of them. A path that is missing here would survive a recovery, and so would an attacker's access.
// A test compares the list with the store's tables that refer to users, and fails for one that it does not know.
var accessPaths = []accessPath{
	{"sessions", endSessions},
	{"devices", forgetDevices},
	{"trusted_browsers", forgetTrusted},
	{"links", cancelLinks},
	{"tokens", revokeTokens},
	{"flows", endFlows},
	{"half_logins", endHalfLogins},
	{"totps", removeTOTPs},
	{"recovery_codes", removeRecoveryCodes},
	{"identities", unlinkIdentities},
	{"passkeys", removePasskeys},
}

// Recover revokes access to an account, in the transaction that changes its password or deactivates it. The password is
// the caller's responsibility.
func Recover(ctx context.Context, tx store.Tx, u store.User, r Recovery) (Recovered, error) {
	var out Recovered
	for _, w := range accessPaths {
		if err := w.revoke(ctx, tx, u, r, &out); err != nil {
			return Recovered{}, err
		}
	}
	return out, nil
}

// endSessions ends sessions by row and by epoch, so that none survives even if its row is written again concurrently. A
// session to keep has to be rotated with the new epoch.
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

func forgetDevices(ctx context.Context, tx store.Tx, u store.User, r Recovery, out *Recovered) (err error) {
	out.Devices, err = tx.ForgetDevices(ctx, u.ID, hashes(r.KeepDevices)...)
	return err
}

func forgetTrusted(ctx context.Context, tx store.Tx, u store.User, r Recovery, out *Recovered) (err error) {
	out.Trusted, err = tx.ForgetTrustedBrowsers(ctx, u.ID, hashes(r.KeepTrusted)...)
	return err
}

func hashes(tokens []string) []store.TokenHash {
	list := make([]store.TokenHash, len(tokens))
	for i, token := range tokens {
		list[i] = store.HashToken(token)
	}
	return list
}

func cancelLinks(ctx context.Context, tx store.Tx, u store.User, r Recovery, out *Recovered) (err error) {
	if r.KeepLinks {
		return nil
	}
	out.Links, err = tx.CancelLinks(ctx, store.LinkPassword, u.ID)
	return err
}

func revokeTokens(ctx context.Context, tx store.Tx, u store.User, r Recovery, out *Recovered) error {
	if r.KeepTokens {
		return nil
	}
	deleted, err := tx.DeleteTokens(ctx, store.TokenSelector{UserID: u.ID})
	out.Tokens = len(deleted)
	return err
}

// RevokeTokens revokes the tokens of an account that is about to be turned off or deleted, and adds their number to the
// details of that event: the store would take them along without a word.
func RevokeTokens(ctx context.Context, tx store.Tx, u store.User, details map[string]string) error {
	deleted, err := tx.DeleteTokens(ctx, store.TokenSelector{UserID: u.ID})
	if err == nil && len(deleted) > 0 {
		details["tokens_revoked"] = strconv.Itoa(len(deleted))
	}
	return err
}

func endFlows(ctx context.Context, tx store.Tx, u store.User, _ Recovery, _ *Recovered) error {
	return tx.EndFlows(ctx, u.ID)
}

// endHalfLogins ends sign-ins whose first step was done with the access of before.
func endHalfLogins(ctx context.Context, tx store.Tx, u store.User, _ Recovery, _ *Recovered) error {
	return tx.EndHalfLogins(ctx, u.ID)
}

func removeTOTPs(ctx context.Context, tx store.Tx, u store.User, r Recovery, out *Recovered) error {
	if !r.Factors {
		now, err := tx.User(ctx, u.ID)
		out.TOTPsLeft = now.Factors.TOTPs
		return err
	}
	removed, err := tx.DeleteTOTPs(ctx, u.ID, "")
	if err != nil {
		return err
	}
	out.TOTPs = len(removed)
	now, err := tx.User(ctx, u.ID)
	if err != nil {
		return err
	}
	f := now.Factors
	f.Ask, f.Failures = false, 0
	if err := tx.SetFactors(ctx, u.ID, f); err != nil {
		return err
	}
	return RemoveMethods(ctx, tx, u.ID, assurance.TOTP)
}

func removeRecoveryCodes(ctx context.Context, tx store.Tx, u store.User, r Recovery, out *Recovered) error {
	codes, err := tx.RecoveryCodes(ctx, u.ID)
	if err != nil {
		return err
	}
	if !r.Factors {
		out.CodesLeft = codes.Left
		return nil
	}
	out.Codes = codes.Left
	if err := tx.ReplaceRecoveryCodes(ctx, u.ID, nil, time.Time{}); err != nil {
		return err
	}
	now, err := tx.User(ctx, u.ID)
	if err != nil {
		return err
	}
	f := now.Factors
	f.CodesSaved = false
	if err := tx.SetFactors(ctx, u.ID, f); err != nil {
		return err
	}
	return RemoveMethods(ctx, tx, u.ID, assurance.RecoveryCode)
}

func unlinkIdentities(ctx context.Context, tx store.Tx, u store.User, r Recovery, out *Recovered) error {
	ids, err := tx.Identities(ctx, u.ID)
	if err != nil {
		return err
	}
	for _, id := range ids {
		linkedSince := !r.LinkedSince.IsZero() && !id.CreatedAt.Before(r.LinkedSince)
		if !r.Identities && !linkedSince {
			out.Remaining = append(out.Remaining, id)
			continue
		}
		if _, err := UnlinkIdentity(ctx, tx, id, r.Audit); err != nil {
			return err
		}
		out.Unlinked = append(out.Unlinked, id)
	}
	return nil
}

// removePasskeys removes passkeys, each of which is a way in by itself. Those that stay are reported, like identities.
//
// Those that were made since [Recovery.LinkedSince] stay, but sign in alone no more until they were used beside the new
// password: they may be an intruder's, and they may as well be the second factor that protects the account against
// whoever has got hold of the link.
func removePasskeys(ctx context.Context, tx store.Tx, u store.User, r Recovery, out *Recovered) error {
	list, err := tx.Passkeys(ctx, u.ID)
	if err != nil {
		return err
	}
	for i := range list {
		k := &list[i]
		if r.Passkeys {
			if _, err := tx.DeletePasskeys(ctx, u.ID, k.ID); err != nil {
				return err
			}
			out.Passkeys++
			continue
		}
		out.PasskeysLeft++
		if r.LinkedSince.IsZero() || k.CreatedAt.Before(r.LinkedSince) || !k.UserVerified {
			continue
		}
		if err := tx.DistrustPasskey(ctx, u.ID, k.ID); err != nil {
			return err
		}
		out.PasskeysDistrusted++
	}
	switch {
	case out.Passkeys > 0:
		return RemoveMethods(ctx, tx, u.ID, assurance.Passkey)
	case out.PasskeysDistrusted > 0:
		return RemoveMethods(ctx, tx, u.ID, assurance.UserVerified)
	}
	return nil
}
