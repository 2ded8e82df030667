package runtime

import (
	"context"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// auditExpiredTokens writes the end of tokens to the audit log, once for each: of several Caddys on one store, the
// first that sees it. Where none has ended, nothing is written.
func (rt *Runtime) auditExpiredTokens(now time.Time) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for {
		list, err := rt.Store.ExpiredTokens(ctx, now, sweepRows)
		if err != nil || len(list) == 0 {
			return err
		}
		err = rt.Store.Change(ctx, func(tx store.Tx) error { return noteExpired(ctx, tx, now) })
		if err != nil {
			return fmt.Errorf("auditing the end of tokens: %w", err)
		}
	}
}

// noteExpired writes one event for each token that has ended since the last time.
func noteExpired(ctx context.Context, tx store.Tx, now time.Time) error {
	list, err := tx.ExpiredTokens(ctx, now, sweepRows) // again: another Caddy may have been first
	if err != nil {
		return err
	}
	ids := make([]string, len(list))
	for i, t := range list {
		ids[i] = t.ID
		err := tx.AddEvent(ctx, store.Event{
			Action: "token.expire", TargetID: t.UserID, Target: t.Username, Outcome: store.Success,
			Details: map[string]string{"token": t.ID, "name": t.Name, "expires": t.ExpiresAt.UTC().Format(time.RFC3339)},
		})
		if err != nil {
			return err
		}
	}
	return tx.NoteExpired(ctx, ids...)
}
