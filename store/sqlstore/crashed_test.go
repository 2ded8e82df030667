package sqlstore_test

import (
	"path/filepath"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/storecopy"
	"github.com/gatehouse-auth/gatehouse/internal/testenv"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

func crashed(t *testing.T) string {
	t.Helper()
	return testenv.UnpackStore(t, filepath.Join("testdata", "crashed-store"))
}

func TestStoreKilledDuringACheckpointRecovers(t *testing.T) {
	t.Parallel()
	path := crashed(t)
	before := snapshot(t, filepath.Dir(path))
	if err := sqlstore.Check(t.Context(), sqliteOptions(path)); err != nil {
		t.Fatalf("the check refused it: %v", err)
	}
	if snapshot(t, filepath.Dir(path)) != before {
		t.Fatal("the check changed something")
	}
	db := testenv.OpenSQLite(t, path)
	info := db.Info()
	report, err := storecopy.Check(t.Context(), storecopy.Side{
		DB: db.Maintenance(), Engine: info.Engine,
		Location: info.Location,
	})
	if err != nil || len(report.Findings) > 0 {
		t.Fatalf("the store is not whole: %v, %v", report.Findings, err)
	}
	rows := make(map[string]int64)
	for _, c := range report.Tables {
		rows[c.Table] = c.Rows
	}
	if rows["users"] != 562 || rows["events"] != 1710 || rows["links"] != 560 || rows["sessions"] != 1 {
		t.Errorf("it holds %v", rows)
	}
	page, err := db.Users(t.Context(), store.UserQuery{Text: "renamed 229"}) // by the trigram index
	if err != nil || len(page.Items) != 1 || page.Items[0].Username != "made111" {
		t.Errorf("a search finds %v, %v", page.Items, err)
	}
}
