package web

import (
	"net/http"
	"strconv"

	"github.com/gatehouse-auth/gatehouse/internal/ui"
)

// publicKeys are the keys with which apps verify signed identities.
type publicKeys struct{ *Deps }

// serve responds with a JWK Set (RFC 7517) to anybody: there is nothing secret in it.
func (k *publicKeys) serve(w http.ResponseWriter, r *http.Request, _ *Request) error {
	doc, err := k.PublicKeys(r.Context())
	if err != nil {
		return err
	}
	ui.Harden(w, r)
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "max-age=300")
	w.Header().Set("Content-Length", strconv.Itoa(len(doc)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(doc) // the client went away: nobody to report to
	}
	return nil
}
