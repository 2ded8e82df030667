package sqlstore

import (
	"context"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/store"
)

// addUserMFA adds the conditions by second factors. Many users have one, or many have none, so that the users of the
// rarer kind come from an index of their ids, and the others from that of the order. A service account never has one,
// and is not among those without.
func (r reader) addUserMFA(f *userFilter, q store.UserQuery) error {
	if q.MFAFor != nil && q.MFA != store.MFANone {
		return fmt.Errorf("%w: who has to have a second factor is asked for with those who have none", errBadQuery)
	}
	noIndex := r.dia.unindexed
	switch q.MFA {
	case "":
	case store.MFAAny:
		f.add(noIndex + "(u.totp_count + u.passkey_count) > 0")
		f.sets = append(f.sets, set{query: `SELECT c.id FROM users c WHERE c.totp_count + c.passkey_count > 0`})
	case store.MFANone:
		f.add(noIndex + "(u.totp_count + u.passkey_count) = 0 AND " + noIndex + "u.kind = 'person'")
		r.addMFADemand(f, q.MFAFor)
		f.sets = append(f.sets, set{
			query: `SELECT c.id FROM users c WHERE c.totp_count + c.passkey_count = 0 AND c.kind = 'person'`,
		})
	default:
		return fmt.Errorf("%w: no state of second factors is named %q", errBadQuery, q.MFA)
	}
	return nil
}

// addMFADemand adds the condition that a user has to have a second factor.
func (r reader) addMFADemand(f *userFilter, d *store.MFADemand) {
	if d == nil || d.All {
		return
	}
	var condition, query string
	var values, members []any
	or := func(c, q string) {
		if condition != "" {
			condition, query = condition+" OR ", query+" UNION ALL "
		}
		condition, query = condition+c, query+q
	}
	if d.Admins {
		or(r.dia.unindexed+"u.role = 'admin'", `SELECT c.id FROM users c WHERE c.role = 'admin'`)
	}
	for _, group := range d.Groups {
		if group == "" {
			continue
		}
		inGroup, names := r.inGroup(group)
		in := r.dia.usersInGroup(clean(group))
		or(inGroup, in.query)
		values, members = append(values, names...), append(members, in.values...)
	}
	if condition == "" { // nobody
		f.add("1 = 0")
		f.sets = append(f.sets, set{ids: []string{}})
		return
	}
	f.add("("+condition+")", values...)
	f.sets = append(f.sets, set{query: query, values: members})
}

// SetFactors implements [store.Tx].
func (t *tx) SetFactors(ctx context.Context, userID string, f store.Factors) error {
	if f.Failures < 0 {
		return fmt.Errorf("%w: a number of wrong codes is not negative", errArgument)
	}
	return t.changeFactors(ctx, "write the state of second factors", userID, func(ctx context.Context, q queryer) error {
		_, err := q.ExecContext(ctx, `UPDATE users SET ask_second_factor = $2, mfa_due_at = $3, mfa_failures = $4,
			codes_saved = $5, notices_seen_at = $6 WHERE id = $1`,
			userID, toInt(f.Ask), toMillis(f.DueAt), int64(f.Failures), toInt(f.CodesSaved), toMillis(f.NoticesSeenAt))
		return err
	})
}

// changeFactors runs fn, which writes the second factors of a person, and then counts them, increments the user's
// version and records the change: what a process has cached of the user's sessions and tokens is outdated.
func (t *tx) changeFactors(ctx context.Context, op, userID string,
	fn func(ctx context.Context, q queryer) error,
) error {
	if !storable(userID) {
		return store.ErrNotFound
	}
	err := t.run(ctx, op, func(ctx context.Context, q queryer) error {
		if err := checkPerson(ctx, q, userID); err != nil {
			return err
		}
		if err := fn(ctx, q); err != nil {
			return err
		}
		_, err := q.ExecContext(ctx, `UPDATE users SET version = version + 1,
			totp_count = (SELECT count(*) FROM totps WHERE user_id = $1 AND confirmed_at > 0),
			passkey_count = (SELECT count(*) FROM passkeys WHERE user_id = $1) WHERE id = $1`, userID)
		return err
	})
	if err != nil {
		return err
	}
	t.recordChange(store.ChangeUser, userID)
	return nil
}

// checkPerson returns ErrNotFound if there is no such user, and an error if it is a service account.
func checkPerson(ctx context.Context, q queryer, userID string) error {
	found, err := exists(ctx, q, `SELECT 1 FROM users WHERE id = $1`, userID)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("the user: %w", store.ErrNotFound)
	}
	return checkService(ctx, q, userID)
}
