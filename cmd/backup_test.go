package cmd

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// keptByRestore are tables whose rows expire and that a restore brings back, with the reason.
var keptByRestore = map[string]string{
	"tokens":      "emptied as well, by an option of its own",
	"devices":     "a known browser gives no access",
	"once_values": "they deny, and do not grant",
}

// What grants access until it is used or ended expires. A backup does not know whether that has happened since.
func TestARestoreRevivesNothingThatGrantsAccess(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../store/sqlstore/migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	table, expire := regexp.MustCompile(`(?s)CREATE TABLE (\w+) \((.*?)\n\)`), 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range table.FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(m[2], "expires_at") {
				continue
			}
			expire++
			if _, kept := keptByRestore[m[1]]; !kept && !slices.Contains(grantTables, m[1]) {
				t.Errorf("rows of %s expire: do they grant access? Then add the table to grantTables, else say here why not", m[1])
			}
		}
	}
	if expire < len(grantTables) {
		t.Errorf("%d tables were found: this test sees too little", expire)
	}
}
