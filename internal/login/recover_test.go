package login_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/login"
)

// notWaysIn are tables that refer to users but give no access, with the reason.
var notWaysIn = map[string]string{
	"device_grants":      "an approved one is a token that waits: it ends with the tokens",
	"user_search":        "the index of names",
	"user_search_rows":   "the index of names",
	"user_search_groups": "the index of groups",
}

var (
	tableOf = regexp.MustCompile(`(?s)CREATE TABLE (\w+) \((.*?)\n\)`)
	ofUser  = regexp.MustCompile(`(?m)^\s*(user_id|owner_id|account_id)\b`)
)

// Every table that refers to users is either revoked by a recovery or listed above as giving no access.
func TestRecoveryCoversEveryTableThatGivesAccess(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../store/sqlstore/migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	seen := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range tableOf.FindAllStringSubmatch(string(text), -1) {
			name, columns := m[1], m[2]
			if !ofUser.MatchString(columns) {
				if strings.Contains(columns, "REFERENCES users") {
					t.Errorf("%s: the table %s refers to users by a column that this test does not know", file, name)
				}
				continue
			}
			seen++
			if _, harmless := notWaysIn[name]; !harmless && !slices.Contains(login.Ways(), name) {
				t.Errorf(
					"%s: the table %s belongs to a user: does it let somebody in? Then end it in recover.go, else say why here", file, name)
			}
		}
	}
	if seen < len(login.Ways()) {
		t.Errorf("%d tables of users were found: this test sees too little", seen)
	}
}
