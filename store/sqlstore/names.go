package sqlstore

import (
	"context"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/store"
)

// sessionName identifies a session at a provider.
type sessionName struct{ issuer, subject, sid string }

func scanName(s scanner) (n sessionName, err error) {
	err = s.Scan(&n.issuer, &n.subject, &n.sid)
	return n, err
}

// sessionNames returns every name of a session, including that of its own row.
func sessionNames(ctx context.Context, q queryer, id string) ([]sessionName, error) {
	return collect(ctx, q, scanName, `SELECT issuer, subject, sid FROM sessions WHERE id = $1 AND issuer <> ''
		UNION SELECT issuer, subject, sid FROM session_sids WHERE session_id = $1`, id)
}

func nameSession(ctx context.Context, q queryer, id string, n sessionName) error {
	_, err := q.ExecContext(ctx, `INSERT INTO session_sids (session_id, issuer, subject, sid) VALUES ($1, $2, $3, $4)
		ON CONFLICT DO NOTHING`, id, n.issuer, n.subject, n.sid)
	return err
}

// AddSessionName implements [store.Tx].
func (t *tx) AddSessionName(ctx context.Context, id, issuer, subject, sid string) error {
	if err := checkKeys(id, issuer, subject, sid); err != nil {
		return err
	}
	if issuer == "" || subject == "" {
		return fmt.Errorf("%w: a name of a session needs issuer and subject", errArgument)
	}
	return t.run(ctx, "name a session", func(ctx context.Context, q queryer) error {
		return nameSession(ctx, q, id, sessionName{issuer, subject, sid})
	})
}

// selectByProviderName selects sessions by their current or earlier names. Each half of the union has its own index.
func selectByProviderName(sel store.SessionSelector) (where, error) {
	var w where
	if err := checkKeys(sel.Issuer, sel.Subject, sel.SID); err != nil {
		return w, err
	}
	condition, values := "issuer = %s AND issuer <> ''", []any{sel.Issuer}
	if sel.Subject != "" {
		condition, values = condition+" AND subject = %s", append(values, sel.Subject)
	}
	if sel.SID != "" {
		condition, values = condition+" AND sid = %s AND sid <> ''", append(values, sel.SID)
	}
	if sel.NoSID {
		condition += " AND sid = ''"
	}
	w.add("s.id IN (SELECT id FROM sessions WHERE "+condition+
		" UNION ALL SELECT session_id FROM session_sids WHERE "+condition+")", append(values, values...)...)
	return w, nil
}
