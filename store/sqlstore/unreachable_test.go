package sqlstore_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// A server that is not there yet is told from what only a person can mend, by Open and by Probe alike.
func TestAServerThatIsNotThereIsDistinguishedFromAWrongOne(t *testing.T) {
	t.Parallel()
	good := testenv.PostgresDSN(t)
	change := func(fn func(u *url.URL)) string {
		u, err := url.Parse(good)
		if err != nil {
			t.Fatal(err)
		}
		fn(u)
		return u.String()
	}
	for name, c := range map[string]struct {
		dsn         string
		unreachable bool
	}{
		"nothing listens":      {change(func(u *url.URL) { u.Host = "127.0.0.1:1" }), true},
		"an unknown name":      {change(func(u *url.URL) { u.Host = "nowhere.invalid" }), true},
		"no such socket":       {"host=/no/such/folder user=u dbname=d", true},
		"an unknown database":  {change(func(u *url.URL) { u.Path = "/nosuchdatabase" }), false},
		"an unknown user":      {change(func(u *url.URL) { u.User = url.UserPassword("nosuchuser", "c4nary") }), false},
		"an unknown parameter": {change(func(u *url.URL) { u.RawQuery += "&c4nary=1" }), false},
		"no TLS there":         {change(func(u *url.URL) { u.RawQuery = "sslmode=require" }), false},
		"no DSN":               {"postgres://u:p:q", false},
	} {
		opts := sqlstore.Options{Engine: sqlstore.EnginePostgres, DSN: c.dsn, Migrate: true}
		_, opened := sqlstore.Open(t.Context(), opts)
		for _, err := range []error{opened, sqlstore.Probe(t.Context(), opts)} {
			if err == nil || sqlstore.Unreachable(err) != c.unreachable || strings.Contains(err.Error(), "c4nary") {
				t.Errorf("%s: unreachable %v, %v", name, sqlstore.Unreachable(err), err)
			}
		}
	}
	if err := sqlstore.Probe(t.Context(), sqlstore.Options{Engine: sqlstore.EnginePostgres, DSN: good}); err != nil {
		t.Errorf("an empty database: %v", err)
	}
	if sqlstore.Unreachable(nil) {
		t.Error("no error is unreachable")
	}
}

// A proxy or a machine between that closes connections is not there, either.
func TestAServerThatClosesConnectionsIsUnreachable(t *testing.T) {
	t.Parallel()
	proxy, dsn := testenv.PostgresProxy(t)
	proxy.Cut()
	err := sqlstore.Probe(t.Context(), sqlstore.Options{Engine: sqlstore.EnginePostgres, DSN: dsn})
	if !sqlstore.Unreachable(err) {
		t.Errorf("a server that closes connections: %v", err)
	}
	proxy.Heal()
	if err := sqlstore.Probe(t.Context(), sqlstore.Options{Engine: sqlstore.EnginePostgres, DSN: dsn}); err != nil {
		t.Errorf("then: %v", err)
	}
}
