package account

import (
	"context"
	"strconv"

	"github.com/gatehouse-auth/gatehouse/store"
)

// TrustsBrowsers reports whether people may have browsers trusted with this configuration.
func (s FactorActions) TrustsBrowsers() bool { return s.on() == nil && s.second().TrustBrowser > 0 }

// Browsers returns the browsers in which a user need not prove a second factor, newest first. Where none are trusted:
// store.ErrNotFound.
func (s FactorActions) Browsers(ctx context.Context, u store.User) ([]store.TrustedBrowser, error) {
	if !s.TrustsBrowsers() {
		return nil, store.ErrNotFound
	}
	return s.trusted(ctx, s.Store, u)
}

// trusted returns the browsers of a user that are still trusted.
func (s FactorActions) trusted(ctx context.Context, r store.Reader, u store.User) ([]store.TrustedBrowser, error) {
	list, err := r.TrustedBrowsers(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	var lasting []store.TrustedBrowser
	for i := range list {
		if s.second().TrustLasts(list[i], u, s.now()) {
			lasting = append(lasting, list[i])
		}
	}
	return lasting, nil
}

// countTrusted returns how many browsers of a user are trusted.
func (s FactorActions) countTrusted(ctx context.Context, u store.User) (int, error) {
	if s.Login != nil {
		list, err := s.trusted(ctx, s.Store, u)
		return len(list), err
	}
	list, err := s.Store.TrustedBrowsers(ctx, u.ID)
	n := 0
	for i := range list {
		if s.now().Before(list[i].ExpiresAt) {
			n++
		}
	}
	return n, err
}

// ForgetBrowser ends the trust in a browser of the actor. Sessions that stand on such trust lose its level, since none
// says in which browser. Errors: store.ErrNotFound; *[ForbiddenError] (reauth-required, mfa-required).
func (s FactorActions) ForgetBrowser(ctx context.Context, a Actor, id string) error {
	if !s.TrustsBrowsers() {
		return store.ErrNotFound
	}
	return s.own(ctx, a, "browser.forget", true, func(tx store.Tx, e *store.Event, _ store.Session, u store.User) error {
		e.Details["browser"] = id
		return tx.ForgetTrustedBrowser(ctx, u.ID, id)
	})
}

// ForgetBrowsers ends the trust in all browsers of the actor, and returns in how many. Errors are those of
// [FactorActions.ForgetBrowser].
func (s FactorActions) ForgetBrowsers(ctx context.Context, a Actor) (n int, err error) {
	if !s.TrustsBrowsers() {
		return 0, store.ErrNotFound
	}
	err = s.own(ctx, a, "browser.forget", true, func(tx store.Tx, e *store.Event, _ store.Session, u store.User) error {
		var err error
		n, err = tx.ForgetTrustedBrowsers(ctx, u.ID)
		if e.Details["browsers"] = strconv.Itoa(n); n == 0 {
			e.Action = notAudited
		}
		return err
	})
	return n, err
}
