package storecopy_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/seal"
	"github.com/gatehouse-auth/gatehouse/internal/storecopy"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// The keys are in the store and go along: an authenticator app is of use in a restored store of either engine.
func TestSealedSecretsOpenInACopy(t *testing.T) {
	t.Parallel()
	onPairs(t, func(t *testing.T, fromOpts, toOpts sqlstore.Options) {
		from := open(t, fromOpts)
		c := fill(t, from, 2)
		sealer := seal.New(from)
		if _, err := sealer.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		secret, err := sealer.Seal(t.Context(), []byte("secret"), "totp", "sealed")
		if err != nil {
			t.Fatal(err)
		}
		user := c.users[1].ID
		change(t, from, func(ctx context.Context, tx store.Tx) error {
			return tx.PutTOTP(ctx, store.TOTP{ID: "sealed", UserID: user, Secret: secret, CreatedAt: time.Now()})
		})
		check := func(db *sqlstore.DB) {
			t.Helper()
			apps, err := db.TOTPs(t.Context(), user)
			if err != nil || len(apps) != 1 {
				t.Fatalf("%+v, %v", apps, err)
			}
			if got, err := seal.New(db).Open(t.Context(), apps[0].Secret, "totp", "sealed"); string(got) != "secret" {
				t.Errorf("opened %q, %v", got, err)
			}
		}
		file := filepath.Join(t.TempDir(), "b.db")
		to := open(t, toOpts)
		if err := errors.Join(backup(t.Context(), from, file), restore(t, file, to, storecopy.Options{})); err != nil {
			t.Fatal(err)
		}
		check(to)
	})
}
