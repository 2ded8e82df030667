package caddyauth_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What docs/providers shows can be copied: every block is a configuration that is taken as it is.
func TestTheBlocksOfTheProviderDocsAreValid(t *testing.T) {
	pages, err := filepath.Glob("../docs/providers/*.md")
	if err != nil || len(pages) < 8 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	blocks := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for i, part := range strings.Split(string(text), "```caddyfile\n") {
			if i == 0 {
				continue
			}
			block, _, _ := strings.Cut(part, "```")
			blocks++
			got := adapt(block + "\n:8080 {\n\tgatehouse\n}\n")
			if strings.HasPrefix(got, "error: ") || !strings.Contains(got, `"oidc"`) {
				t.Errorf("%s: %s\n%s", page, got, block)
			}
		}
	}
	if blocks < 9 {
		t.Errorf("there are only %d blocks", blocks)
	}
}
