package main

import (
	"context"
	"net/http/httptest"
	"strings"
	"time"
)

// assertionLength is about how long the assertion of the administrator is.
const assertionLength = 650

// compareAssertion measures a signed identity against what Caddy itself does with one more header of its length: the
// gate in front of both. The first target is the same as the base, and shows the error of the method; the last is the
// gate with neither.
func compareAssertion(ctx context.Context, binary, dir string, up *httptest.Server, rounds int, sample time.Duration,
	conns []int,
) error {
	const gate = "gatehouse"
	constant := gate + "\n\trequest_header Gatehouse-Assertion " + strings.Repeat("x", assertionLength)
	var targets []target
	for _, c := range []struct{ name, directive string }{
		{"gated, with a constant header", constant},
		{"the same again (A/A control)", constant},
		{"gated, with a signed identity", gate + " {\n\t\tassertion\n\t}"},
		{"gated, without", gate},
	} {
		srv, err := startCaddy(ctx, binary, dir, "assertion-"+string(rune('a'+len(targets))), c.directive, manyAttempts, up)
		if err != nil {
			return err
		}
		defer srv.stop()
		cookie, err := srv.signIn(ctx)
		if err != nil {
			return err
		}
		targets = append(targets, target{name: c.name, server: srv, cookie: cookie, status: 200})
	}
	for _, c := range conns {
		if err := compare(ctx, "a client's two headers", targets[0], targets[1:], rounds, sample, c); err != nil {
			return err
		}
	}
	return nil
}
