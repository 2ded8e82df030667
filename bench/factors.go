package main

import (
	"context"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/recovery"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/authenticator"
	"github.com/gatehouse-auth/gatehouse/internal/totp"
)

// Cookies of the gate.
const (
	cookieOfSession  = "gatehouse"
	cookieOfStep     = cookieOfSession + "-step"
	cookieOfCeremony = cookieOfSession + "-ceremony"
)

// wrongFactor is a flood of second factors that prove nothing. The first ones are judged; the rest find that there have
// been too many, which is what whoever guesses gets.
type wrongFactor struct {
	name string
	path string
	// begin returns the Cookie header and the forms that are sent with it.
	begin func(ctx context.Context, srv *server) (cookie string, form func() url.Values, err error)
}

var wrongFactors = []wrongFactor{
	{"wrong codes", "/_auth/login/verify", func(ctx context.Context, srv *server) (string, func() url.Values, error) {
		cookie, err := srv.firstStep(ctx, http.DefaultClient)
		return cookie, func() url.Values { return url.Values{"code": {"000000"}} }, err
	}},
	{"wrong recovery codes", "/_auth/login/verify/recovery", func(ctx context.Context, srv *server) (string, func() url.Values, error) {
		cookie, err := srv.firstStep(ctx, http.DefaultClient)
		codes, _ := recovery.New()
		return cookie, func() url.Values { return url.Values{"recovery_code": {codes[0]}} }, err
	}},
	{"assertions of unknown passkeys", "/_auth/login/passkey", unknownPasskeys},
}

// unknownPasskeys begins a ceremony and responds to it with a passkey that nobody has registered.
func unknownPasskeys(ctx context.Context, srv *server) (string, func() url.Values, error) {
	res, err := srv.post(ctx, http.DefaultClient, "/_auth/login/passkey/options", "", nil)
	if err != nil {
		return "", nil, err
	}
	var o struct {
		PublicKey json.RawMessage `json:"publicKey"`
		State     string          `json:"state"`
	}
	if err := json.NewDecoder(res.Body).Decode(&o); err != nil {
		return "", nil, fmt.Errorf("options of a passkey, status %d: %w", res.StatusCode, err)
	}
	var cookies []string
	for _, c := range res.Cookies() {
		if strings.HasPrefix(c.Name, cookieOfCeremony) {
			cookies = append(cookies, c.Name+"="+c.Value)
		}
	}
	key := authenticator.New(srv.url)
	key.Handle = make([]byte, 64)
	form := url.Values{"state": {o.State}, "assertion": {key.Get(o.PublicKey)}}
	return strings.Join(cookies, "; "), func() url.Values { return form }, nil
}

// factors compares sign-ins and the requests of signed-in people with and without wrong second factors beside them.
func factors(ctx context.Context, binary, dir string, up *httptest.Server, rounds int, sample time.Duration) error {
	// Passkeys work on localhost, and on no other plain HTTP.
	srv, err := startCaddyAs(ctx, "localhost", binary, dir, "factors", "gatehouse", manyAttempts, up)
	if err != nil {
		return err
	}
	defer srv.stop()
	cookie, err := srv.signIn(ctx)
	if err == nil {
		cookie, err = srv.addApp(ctx, cookie)
	}
	if err != nil {
		return err
	}
	people := target{name: "gated", server: srv, cookie: cookie, status: http.StatusOK}
	firstStep := func(ctx context.Context, client *http.Client) error {
		_, err := srv.firstStep(ctx, client)
		return err
	}
	for _, kind := range wrongFactors {
		for _, m := range []struct {
			name    string
			measure func() (figures, error)
		}{
			{"signed-in requests", func() (figures, error) { return paced(ctx, people.ask, perSecond, sample) }},
			// Two in a second leave the processors time between the hashes of their passwords.
			{"sign-ins with a password", func() (figures, error) { return paced(ctx, firstStep, 2, 4*sample) }},
		} {
			if err := kind.beside(ctx, srv, m.name, m.measure, rounds); err != nil {
				return err
			}
		}
	}
	return nil
}

func (k wrongFactor) beside(ctx context.Context, srv *server, what string, measure func() (figures, error), rounds int) error {
	var refused, throttled, other atomic.Int64
	var failed error
	p50, p99, peak, err := beside(srv, measure, rounds, time.Second, func() (stop func()) {
		cookie, form, err := k.begin(ctx, srv)
		if err != nil {
			failed = err
			return func() {}
		}
		return badly(ctx, func(ctx context.Context, client *http.Client) {
			res, err := srv.post(ctx, client, k.path, cookie, form())
			switch {
			case err != nil && ctx.Err() != nil:
			case err == nil && res.StatusCode == http.StatusUnauthorized:
				refused.Add(1)
			case err == nil && res.StatusCode == http.StatusTooManyRequests:
				throttled.Add(1)
			default:
				other.Add(1)
			}
		})
	})
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	if n := other.Load(); n > 0 {
		return fmt.Errorf("%d %s were answered otherwise than 401 and 429", n, k.name)
	}
	fmt.Printf("%s beside %d %s a second, as a ratio to without: p50 %.2f (%.2f..%.2f), p99 %.2f; answered 401: %d, 429: %d; resident memory %.1f MiB\n",
		what, badRate, k.name, median(p50), slices.Min(p50), slices.Max(p50), median(p99), refused.Load(), throttled.Load(), peak)
	return nil
}

// firstStep proves the password of the administrator, who has a second factor, and returns the Cookie header of the
// second step.
func (s *server) firstStep(ctx context.Context, client *http.Client) (string, error) {
	return s.cookieOf(ctx, client, cookieOfStep, "/_auth/login", url.Values{"username": {"admin"}, "password": {adminPassword}})
}

// addApp adds an authenticator app to the account of a session, and returns the Cookie header of the session then.
func (s *server) addApp(ctx context.Context, cookie string) (string, error) {
	const path, kind = "/_auth/api/v1/me/totp", "application/json"
	res, err := s.send(ctx, http.DefaultClient, path, cookie, kind, "{}")
	if err != nil {
		return "", err
	}
	var app struct{ ID, Secret string }
	if err := json.NewDecoder(res.Body).Decode(&app); err != nil {
		return "", fmt.Errorf("setting up an authenticator app, status %d: %w", res.StatusCode, err)
	}
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(app.Secret)
	if err != nil {
		return "", fmt.Errorf("the secret of an authenticator app: %w", err)
	}
	code := totp.Code(secret, totp.Step(time.Now()))
	res, err = s.send(ctx, http.DefaultClient, path+"/"+app.ID, cookie, kind, `{"name":"bench","code":"`+code+`"}`)
	if err != nil {
		return "", err
	}
	return cookieIn(res, cookieOfSession)
}
