package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/gatehouse-auth/gatehouse/store"
)

func raceRecoveryCode(t *testing.T, a, b store.Store) {
	u := addUser(t, a, "u")
	hashes := addCodes(t, a, u, 10)
	won := race(t, 50, store.ErrNotFound, func(i int) error { return useCode(t, pick(i, a, b), u, hashes[0]) })
	if won != 1 {
		t.Fatalf("%d calls succeeded", won)
	}
	if c := codes(t, b, u); c.Left != 9 || c.Used != 1 {
		t.Fatalf("%+v", c)
	}
}

func raceStep(t *testing.T, a, b store.Store) {
	app := addTOTP(t, a, addUser(t, a, "u"))
	won := race(t, 50, store.ErrStale, func(i int) error { return useStep(t, pick(i, a, b), app, 101) })
	if won != 1 {
		t.Fatalf("%d calls succeeded", won)
	}
}

// raceConfirm confirms more authenticator apps than a user may have: there is one at a time that is not confirmed.
func raceConfirm(t *testing.T, a, b store.Store) {
	u := addUser(t, a, "u")
	won := race(t, 12, store.ErrConflict, func(i int) error {
		app := newTOTP(u)
		return try(t, pick(i, a, b), func(ctx context.Context, tx store.Tx) error {
			return errors.Join(tx.PutTOTP(ctx, app), tx.ConfirmTOTP(ctx, u.ID, app.ID, fmt.Sprint(i), 1, now()))
		})
	})
	if n := getUser(t, b, u.ID).Factors.TOTPs; won != store.MaxTOTPs || n != store.MaxTOTPs {
		t.Fatalf("%d were confirmed, %d are counted", won, n)
	}
}

func raceHalfLogin(t *testing.T, a, b store.Store) {
	h := addHalfLogin(t, a, addUser(t, a, "u"))
	won := race(t, 50, store.ErrNotFound, func(i int) error { return takeHalfLogin(t, pick(i, a, b), h, now()) })
	if won != 1 {
		t.Fatalf("%d calls succeeded", won)
	}
}
