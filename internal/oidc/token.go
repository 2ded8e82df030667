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

// tokenContext returns a context with which x/oauth2 calls the token endpoint with our HTTP client.
func (p *provider) tokenContext(ctx context.Context) context.Context {
	client := *p.remote.client
	client.Transport = &tolerantTransport{next: client.Transport}
	return gooidc.ClientContext(ctx, &client)
}

// tolerantTransport normalizes optional members of a response before x/oauth2 reads it. For expires_in x/oauth2 accepts
// only whole numbers and fails for anything else, and the rotated refresh token in the response would be lost. What
// cannot be read is removed.
type tolerantTransport struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t *tolerantTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	var fields jsonObject
	if json.Unmarshal(body, &fields) == nil {
		seconds, _ := fields.get("expires_in").asSeconds()
		fields.set("expires_in", seconds)
		for _, name := range []string{"refresh_token", "token_type"} {
			if _, ok := fields.get(name).asString(); !ok {
				fields.set(name, jsonValue{})
			}
		}
		if body, err = json.Marshal(fields.members); err != nil {
			return nil, err
		}
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, nil
}

// asSeconds returns a duration in whole seconds, from a number or from the string that some providers send.
func (v jsonValue) asSeconds() (jsonValue, bool) {
	f, err := strconv.ParseFloat(v.scalar(), 64)
	if err != nil || math.IsNaN(f) {
		return jsonValue{}, false
	}
	return jsonValue{v: json.Number(strconv.FormatInt(int64(min(max(f, 0), 1e8)), 10))}, true
}
