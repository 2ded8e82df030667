package oidc

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"strconv"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
)

// tokenContext returns a context in which x/oauth2 asks the token endpoint with our client.
func (p *provider) tokenContext(ctx context.Context) context.Context {
	client := *p.remote.client
	client.Transport = &tolerant{next: client.Transport}
	return gooidc.ClientContext(ctx, &client)
}

// tolerant puts the life of an access token right before x/oauth2 reads it, which takes nothing but whole numbers, and would
// lose the whole answer to another one: the refresh token that the provider has rotated with it. The life is optional, and
// what cannot be read of it is absent.
type tolerant struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t *tolerant) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	var answer claims
	if json.Unmarshal(body, &answer) == nil {
		life, _ := answer.get("expires_in").seconds()
		answer.set("expires_in", life)
		if body, err = json.Marshal(answer.members); err != nil {
			return nil, err
		}
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, nil
}

// seconds returns a time in whole seconds, of a number or of the text that some providers send for it.
func (v value) seconds() (value, bool) {
	f, err := strconv.ParseFloat(v.word(), 64)
	if err != nil || math.IsNaN(f) {
		return value{}, false
	}
	return value{v: json.Number(strconv.FormatInt(int64(min(max(f, 0), 1e8)), 10))}, true
}
