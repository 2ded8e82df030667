package caddyauth

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/machine"
	"github.com/gatehouse-auth/gatehouse/internal/session"
)

// machineJWTs are the issuers of machine JWTs of one configuration.
type machineJWTs struct {
	set   *machine.Set // nil: there are none
	log   *zap.Logger
	notes noteLimit
}

// newMachineJWTs makes no requests. What is cached of issuers outlives configurations.
func (a *App) newMachineJWTs() (*machineJWTs, error) {
	rt := a.rt
	pool := rt.OIDCPool(a.log.Named("oidc"))
	set, err := machine.New(pool, a.opt.issuers, machine.Options{
		Clock: time.Now, Clients: a.opt.clients, OwnKey: func(ctx context.Context, thumbprint string) (bool, error) {
			return rt.Assertions.Has(ctx, thumbprint) // there are none before the store is open
		},
	})
	if err != nil {
		return nil, err
	}
	return &machineJWTs{set: set, log: a.log}, nil
}

// resolveJWT returns what acts with the request's machine JWT. It returns session.ErrNone where nothing does.
func (req *request) resolveJWT(ctx context.Context) (l *session.Live, graced bool, err error) {
	m := req.live.machines
	v, err := m.set.Verify(ctx, req.first.credential.Text)
	switch {
	case errors.Is(err, machine.ErrInvalid):
		m.note(req, err.Error())
		return nil, false, session.ErrNone
	case err != nil:
		return nil, false, err
	}
	l, graced, err = req.live.sessions.ResolveExternal(ctx, &session.External{
		Account: v.Account, ID: v.ID, Hash: v.Hash, Expires: v.Expires, Until: v.Expires.Add(machine.Leeway),
	}, req.live.opt.storeGrace)
	if errors.Is(err, session.ErrNone) {
		m.note(req, "token_issuer "+v.Issuer+": there is no active service account "+v.Account)
	}
	return l, graced, err
}

// note tells the operator why a machine JWT is refused, which its sender is not told. Anybody can cause it.
func (m *machineJWTs) note(req *request, reason string) {
	if m.notes.allow(time.Now()) {
		m.log.Info("a machine JWT is refused", zap.String("reason", reason), zap.String("request_id", req.id()))
	}
}
