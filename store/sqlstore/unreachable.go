package sqlstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
)

// Unreachable reports whether an error of [Open] or [Probe] says that PostgreSQL is not there yet: nothing listens, its
// name is not known, or it is starting. What only a person can mend, such as a wrong password, a missing database or a
// certificate that is not trusted, is not among them, and neither is any error of SQLite.
func Unreachable(err error) bool {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return len(refused.Code) == 5 && mayEnd(refused.Code)
	}
	var certificate *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	if errors.As(err, &certificate) || errors.As(err, &authority) || errors.As(err, &hostname) {
		return false
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded)
}

// mayEnd reports whether what a SQLSTATE says ends by itself (PostgreSQL documentation, appendix A).
func mayEnd(code string) bool {
	switch code {
	case "25006": // read only: a standby before it is promoted
		return true
	case "57014": // a statement took too long
		return true
	}
	switch code[:2] {
	case "08", "53", "55", "57": // the connection, resources, locks, an operator who starts or stops it
		return code != "57P04" // the database was dropped
	}
	return false
}

// Probe reports whether a store can be opened, and changes nothing. Unlike [Check] it connects to PostgreSQL.
func Probe(ctx context.Context, opts Options) error {
	if opts.Engine != EnginePostgres {
		return Check(ctx, opts)
	}
	d := &DB{opts: opts.defaults()}
	d.dia = postgresDialect()
	defer func() { _ = d.closePools() }() // nothing was written
	if err := d.connectPostgres(ctx); err != nil {
		return err
	}
	has, err := schemaVersion(ctx, d.writer, d.dia)
	if err != nil {
		return d.postgresOpenError(ctx, err)
	}
	latest, err := latestMigration()
	if err == nil && has > latest {
		err = newerSchema(d.info.Location, has, latest)
	}
	return err
}
