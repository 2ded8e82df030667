package oidc

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
)

const (
	metadataTTL  = 10 * time.Minute // refetched after this
	maxStale     = 24 * time.Hour   // still used for this long if it cannot be refetched
	firstBackoff = time.Second
	maxBackoff   = time.Minute
)

// remote is the cached state of one provider, shared by all configurations that use it.
type remote struct {
	issuer    string
	discovery string            // address of the discovery document
	endpoints map[string]string // configured ones, by [EndpointKinds]
	keysOnly  bool              // nobody signs in there: of the metadata nothing but jwks_uri is read
	insecure  bool
	client    *http.Client
	now       func() time.Time
	log       *zap.Logger
	flights   singleflight.Group
	refetches map[purpose]*rateLimit

	mu             sync.Mutex
	meta           *metadata
	keys           keyring
	keyFailures    int       // of fetching the keys, in a row
	keyRetry       time.Time // not before
	failures       int       // of discovery, in a row
	retry          time.Time // not before
	health         health
	records        map[string]*signInRecord // by the name of a configured provider
	lastAlgorithms map[string]string        // of the last ID token, by the same name
}

// health is the provider's state for the status page.
type health struct {
	checkedAt  time.Time // last finished attempt at discovery
	problem    string    // of that attempt, "" when it went well
	kind       Kind      // of that problem
	keyProblem string    // of the last attempt to read the keys
	keyKind    Kind
	keysFailed time.Time
	skew       time.Duration // the provider's clock less ours
	skewKnown  bool
}

// metadata returns the discovery document. If it is older than maxAge it is refetched; if that fails, the old one is
// returned unless it is older than maxStale.
func (r *remote) metadata(ctx context.Context, maxAge time.Duration) (*metadata, error) {
	if address := r.endpoints[EndpointKeys]; r.keysOnly && address != "" {
		return &metadata{KeysURL: address}, nil
	}
	r.mu.Lock()
	m, now := r.meta, r.now()
	waiting := now.Before(r.retry)
	problem, kind := r.health.problem, r.health.kind
	r.mu.Unlock()
	if m != nil && age(now, m.at) < maxAge {
		return m, nil
	}
	usable := m != nil && age(now, m.at) < maxStale
	if waiting {
		if usable {
			return m, nil
		}
		return nil, fail(kind, "the provider cannot be used: %s", problem)
	}
	got, err := share(ctx, r, "metadata", r.discover)
	switch {
	case err == nil:
		return got, nil
	case usable:
		return m, nil
	default:
		return nil, err
	}
}

// age is never negative: after a clock was set back, cached values are old, not fresh for long.
func age(now, at time.Time) time.Duration { return now.Sub(at).Abs() }

// backoff returns how long nothing is requested after a failure, by the failures in a row before it.
func backoff(failures int) time.Duration { return min(firstBackoff<<min(failures, 10), maxBackoff) }

// share runs fn once for all concurrent callers. It continues if one of them is canceled.
func share[T any](ctx context.Context, r *remote, what string, fn func(context.Context) (T, error)) (T, error) {
	ch := r.flights.DoChan(what, func() (any, error) {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*callTimeout)
		defer cancel()
		return fn(bounded)
	})
	select {
	case res := <-ch:
		got, ok := res.Val.(T)
		if !ok && res.Err == nil { // two kinds of calls under one name
			return got, fmt.Errorf("%s: got a %T", what, res.Val)
		}
		return got, res.Err
	case <-ctx.Done():
		var none T
		return none, &Error{Kind: Unavailable, Reason: "timeout waiting for the provider", Err: ctx.Err()}
	}
}

// discover fetches the discovery document and records the result.
func (r *remote) discover(ctx context.Context) (*metadata, error) {
	m, err := r.readMetadata(ctx)
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.health.checkedAt = now
	if err != nil {
		r.health.problem, r.health.kind = err.Error(), KindOf(err)
		r.retry = now.Add(backoff(r.failures))
		r.failures++
		r.logProblem("cannot use a provider", err, zap.Time("next_try", r.retry))
		return nil, &Error{Kind: KindOf(err), Reason: "discovery", Err: err}
	}
	m.at = now
	if len(m.ignored) > 0 && (r.meta == nil || !slices.Equal(m.ignored, r.meta.ignored)) {
		r.log.Warn("ignored members of a provider's discovery document", zap.Strings("members", m.ignored))
	}
	r.meta, r.failures, r.retry, r.health.problem, r.health.kind = m, 0, time.Time{}, "", ""
	return m, nil
}

// logProblem logs why a provider cannot be used: as an error if somebody has to change a configuration.
func (r *remote) logProblem(message string, err error, fields ...zap.Field) {
	level := zap.WarnLevel
	if KindOf(err) == Misconfigured {
		level = zap.ErrorLevel
	}
	r.log.Log(level, message, append(fields, zap.String("problem", err.Error()))...)
}

// fetch returns a document of the provider. Its errors are *[Error].
func (r *remote) fetch(ctx context.Context, failed, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fail(Misconfigured, "%s: %s is no address", failed, identifier.Example(address))
	}
	req.Header.Set("Accept", "application/json, application/jwk-set+json")
	req.Header.Set("Cache-Control", "no-cache")
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, failedRequest(failed, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return nil, failedRequest(failed, err)
	case resp.StatusCode != http.StatusOK:
		return nil, failedStatus(failed, resp.StatusCode)
	}
	return body, nil
}

// recordDate records the difference between the provider's clock and ours.
func (r *remote) recordDate(date time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.health.skew, r.health.skewKnown = date.Sub(r.now()).Round(time.Second), true
}

// recordAlgorithm records the signature algorithm of an ID token for a configured provider.
func (r *remote) recordAlgorithm(name, algorithm string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lastAlgorithms == nil {
		r.lastAlgorithms = make(map[string]string)
	}
	r.lastAlgorithms[name] = algorithm
}

// lastAlgorithm returns the algorithm of the last ID token for a configured provider, or the default of OpenID Connect
// Dynamic Client Registration 1.0, section 2.
func (r *remote) lastAlgorithm(name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.lastAlgorithms[name]; a != "" {
		return a
	}
	return string(jose.RS256)
}
