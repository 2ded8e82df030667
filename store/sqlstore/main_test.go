package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// openEnv makes the test binary open the SQLite store at that path and exit.
const openEnv = "GATEHOUSE_TEST_OPEN_SQLITE"

func TestMain(m *testing.M) {
	if path := os.Getenv(openEnv); path != "" {
		os.Exit(openAndClose(path))
	}
	testenv.Main(m)
}

func openAndClose(path string) int {
	ctx := context.Background()
	db, err := sqlstore.Open(ctx, sqlstore.Options{Engine: sqlstore.EngineSQLite, Path: path, Migrate: true})
	if err == nil {
		err = errors.Join(db.Ping(ctx), db.Close())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
