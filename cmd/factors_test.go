package cmd_test

import (
	"context"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gatehouse-auth/gatehouse/internal/recovery"
	"github.com/gatehouse-auth/gatehouse/store"
)

// factor user failures: gives the user an authenticator app, recovery codes, and a number of wrong codes in a row.
func factorCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: factor <user> <wrong codes>")
	}
	failures, err := strconv.Atoi(args[1])
	ts.Check(err)
	withStore(ts, func(ctx context.Context, st store.Store) {
		u := lookup(ctx, ts, st, args[0])
		now := time.Now()
		app := store.TOTP{ID: store.NewID(now), UserID: u.ID, Secret: "sealed", CreatedAt: now}
		_, hashes := recovery.New()
		ts.Check(st.Change(ctx, func(tx store.Tx) error {
			if err := tx.PutTOTP(ctx, app); err != nil {
				return err
			}
			if err := tx.ConfirmTOTP(ctx, u.ID, app.ID, "phone", 1, now); err != nil {
				return err
			}
			if err := tx.ReplaceRecoveryCodes(ctx, u.ID, hashes, now); err != nil {
				return err
			}
			return tx.SetFactors(ctx, u.ID, store.Factors{Ask: true, Failures: failures})
		}))
	})
}

// trust user: makes a browser a trusted one of a user.
func trustCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: trust <user>")
	}
	withStore(ts, func(ctx context.Context, st store.Store) {
		u := lookup(ctx, ts, st, args[0])
		now := time.Now()
		ts.Check(st.Change(ctx, func(tx store.Tx) error {
			return tx.CreateTrustedBrowser(ctx, store.TrustedBrowser{
				ID: store.NewID(now), Hash: store.HashToken(store.NewToken()), UserID: u.ID, MFAAt: now, CreatedAt: now,
				ExpiresAt: now.Add(time.Hour),
			})
		}))
	})
}
