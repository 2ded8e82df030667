//go:build providers

package providers

import (
	"archive/zip"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/harness"
)

// label is what the page takes for a text of the admin console.
var label = regexp.MustCompile(`(?s)(?:^|[^*])\*([^* ][^*]*)\*(?:[^*]|$)`)

// namedElsewhere are names of mappers and their options, which come from the server.
var namedElsewhere = map[string]bool{"Group Membership": true, "Full group path": true, "realm roles": true}

// Whoever follows the page finds each name that it gives on Keycloak's pages.
func TestKeycloakPageNamesWhatTheAdminConsoleShows(t *testing.T) {
	texts := consoleTexts(t)
	n := 0
	for _, found := range label.FindAllStringSubmatch(harness.Page(t, "providers", "keycloak.md"), -1) {
		for name := range strings.SplitSeq(strings.Join(strings.Fields(found[1]), " "), " → ") {
			if n++; !texts[name] && !namedElsewhere[name] {
				t.Errorf("the admin console shows no %q", name)
			}
		}
	}
	if n < 20 {
		t.Errorf("the page names only %d", n)
	}
}

// consoleTexts are the English texts of Keycloak's admin console.
func consoleTexts(t *testing.T) map[string]bool {
	t.Helper()
	jar, err := zip.OpenReader(installed(t, filepath.Join("keycloak-*", "lib", "lib", "main", "*.keycloak-admin-ui-*.jar")))
	if err != nil {
		t.Fatal(err)
	}
	defer jar.Close()
	f, err := jar.Open("theme/keycloak.v2/admin/messages/messages_en.properties")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	properties, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]bool)
	for line := range strings.Lines(string(properties)) {
		if _, text, ok := strings.Cut(line, "="); ok {
			texts[strings.TrimSpace(text)] = true
		}
	}
	return texts
}
