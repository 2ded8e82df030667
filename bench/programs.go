package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

// programHeaders are those of a program that says little of itself.
var programHeaders = map[string]string{"Accept": "*/*", "User-Agent": "curl/7.88.1"}

// takesTokens are the global options of a gate for programs. Behind it stands the load generator, which says for whom it
// asks: so one address can be a million.
const takesTokens = `	servers {
		trusted_proxies static 127.0.0.1/32
	}
	gatehouse {
		tokens
		token_issuer bench {
			issuer %s
			audience gate
			jwks %s
			sign_alg RS256
			as robot {
				claim sub robot
			}
		}
		throttle {
			client 1000000/1m
		}
	}
`

const issuer = "https://issuer.example.com"

// programs measures tokens and JWTs against the cookie of the same gate, and what bad ones cost.
func programs(ctx context.Context, binary, dir string, up *httptest.Server, rounds int, sample time.Duration, conns []int,
	bad int,
) error {
	keys, err := json.Marshal(map[string]any{"keys": []any{provider.RSA(0).JWK()}})
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "keys.json")
	if err := os.WriteFile(file, keys, 0o600); err != nil {
		return err
	}
	plain, err := startCaddy(ctx, binary, dir, "plain-401", "respond /refused 401", "", up)
	if err != nil {
		return err
	}
	defer plain.stop()
	gated, err := startCaddy(ctx, binary, dir, "programs", "gatehouse {\n\t\tbasic /*\n\t}", fmt.Sprintf(takesTokens, issuer, file), up)
	if err != nil {
		return err
	}
	defer gated.stop()
	c, err := gated.credentials(ctx)
	if err != nil {
		return err
	}
	if err := compareCredentials(ctx, plain, gated, c, rounds, sample, conns); err != nil {
		return err
	}
	for _, kind := range badKinds {
		if err := manyBad(ctx, plain, gated, kind, bad); err != nil {
			return err
		}
		if err := goodBesideBad(ctx, gated, c, kind, rounds, sample); err != nil {
			return err
		}
	}
	return nil
}

// credentials are ways in, of the administrator but for the JWT, which is a service account's.
type credentials struct{ cookie, token, jwt string }

func (s *server) credentials(ctx context.Context) (c credentials, err error) {
	if c.cookie, err = s.signIn(ctx); err != nil {
		return c, err
	}
	var texts [2]string
	for i, owner := range [][]string{{"--user", "admin"}, {"--service", "robot"}} {
		args := append([]string{"token", "add", "--name", "bench", "--host", "*"}, owner...)
		out, err := s.command(ctx, args...).Output()
		if err != nil {
			return c, fmt.Errorf("making a token: %w", err)
		}
		texts[i] = strings.TrimSpace(string(out))
	}
	now := time.Now()
	c.token = texts[0]
	c.jwt = provider.RSA(0).Sign(map[string]any{
		"iss": issuer, "aud": "gate", "sub": "robot", "iat": now.Unix(), "exp": now.Add(12 * time.Hour).Unix(),
	}, nil)
	return c, nil
}

// compareCredentials measures each way in against the cookie. The first target is the same as the base, and shows the
// error of the method.
func compareCredentials(ctx context.Context, plain, gated *server, c credentials, rounds int, sample time.Duration,
	conns []int,
) error {
	cookie := target{name: "gated, with a cookie", server: gated, cookie: c.cookie, status: http.StatusOK, headers: programHeaders}
	same, noGate := cookie, cookie
	same.name, noGate.name, noGate.server = "the same again (A/A control)", "plain Caddy, the same request", plain
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("x:"+c.token))
	targets := []target{
		same, noGate,
		cookie.with("gated, with a token", "Bearer "+c.token),
		cookie.with("gated, with a token as Basic", basic),
		cookie.with("gated, with a JWT", "Bearer "+c.jwt),
	}
	for _, n := range conns {
		if err := compare(ctx, "a program's headers", cookie, targets, rounds, sample, n); err != nil {
			return err
		}
	}
	return nil
}

// with returns the same request with another credential in place of the cookie.
func (t target) with(name, authorization string) target {
	t.name, t.cookie = name, ""
	t.headers = map[string]string{"Authorization": authorization}
	for k, v := range programHeaders {
		t.headers[k] = v
	}
	return t
}
