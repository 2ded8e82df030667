package session

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// External is a credential of a program that somebody else issued and that was verified elsewhere, such as a JWT of a
// CI system. It acts as a service account, with no scope but what the gates set.
type External struct {
	Account string            // name of the service account
	ID      string            // stands for it in logs and for the app
	Hash    [sha256.Size]byte // of its text
	Expires time.Time         // as it says
	Until   time.Time         // it is accepted until then: clocks differ
}

// ResolveExternal returns what acts with a verified credential. It returns [ErrNone] where it has expired, or where
// there is no active service account of that name: it is looked up for each credential, and whatever changes it counts
// from the next request on, for open streams within a second. grace is as for [Manager.ResolveWithGrace].
func (m *Manager) ResolveExternal(ctx context.Context, x *External,
	grace time.Duration,
) (l *Live, graced bool, err error) {
	// Another configuration may have the same credential act as another account.
	key := sha256.Sum256(append(x.Hash[:], x.Account...))
	return m.findWithGrace(ctx, credential{
		cacheKey: cacheKey{hash: store.TokenHash(key), program: true, external: true}, external: x,
	}, grace)
}

// readExternal reads the service account from the store.
func (m *Manager) readExternal(ctx context.Context, x *External) (Live, error) {
	u, err := m.store.UserByUsername(ctx, x.Account)
	if err != nil {
		return Live{}, err
	}
	if u.Kind != store.KindService { // nobody gets to be a person by a name
		return Live{}, store.ErrNotFound
	}
	t := &store.Token{
		ID: x.ID, UserID: u.ID, Hosts: []string{store.AllHosts}, Methods: store.TokenAll, CreatedAt: m.now(),
		ExpiresAt: x.Expires,
	}
	s := tokenSession(t, &u)
	s.ExpiresAt = x.Until
	return Live{Session: s, User: u, Token: t, external: x}, nil
}
