package runtime

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
)

// The end of a token is in the audit log once, however many Caddys look after a store; what lives, never ends or was
// replaced is not.
func TestTheEndOfATokenIsAuditedOnce(t *testing.T) {
	t.Parallel()
	ctx, st, now := t.Context(), testenv.Store(t), time.Now()
	ci := store.User{ID: store.NewID(now), Kind: store.KindService, Username: "ci", Role: store.RoleUser, Active: true, CreatedAt: now}
	ended := make(map[string]bool)
	err := st.Change(ctx, func(tx store.Tx) error {
		if err := tx.CreateUser(ctx, ci); err != nil {
			return err
		}
		for i := range 2*sweepRows + 7 {
			token := store.Token{
				ID: store.NewID(now), Hash: store.HashToken(fmt.Sprint("token ", i)), UserID: ci.ID, Name: "deploy", Hosts: []string{"*"},
				Methods: store.TokenAll, CreatedAt: now.Add(-time.Hour), ExpiresAt: now.Add(-time.Minute),
			}
			switch i {
			case 0:
				token.ExpiresAt = time.Time{}
			case 1:
				token.ExpiresAt = now.Add(time.Hour)
			default:
				ended[token.ID] = true
			}
			if err := tx.CreateToken(ctx, token); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	for range 4 {
		rt := &Runtime{Store: st}
		work.Go(func() {
			if err := rt.auditExpiredTokens(now); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	q, events := store.EventQuery{Action: "token.expire", Limit: 1000}, 0
	for {
		page, err := st.Events(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Items {
			if events++; !ended[e.Details["token"]] || e.Target != "ci" || e.TargetID != ci.ID || e.Details["name"] != "deploy" || e.ActorKind() != store.ActorSystem {
				t.Fatalf("%+v by %s", e, e.ActorKind())
			}
			delete(ended, e.Details["token"])
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	if events != 2*sweepRows+5 || len(ended) > 0 {
		t.Errorf("%d events, %d tokens ended without one", events, len(ended))
	}
}
