package gatehouse_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func read(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// The example is formatted and valid. A browser test runs it.
func TestExampleCaddyfileIsValid(t *testing.T) {
	source := read(t, "Caddyfile.example")
	if got := string(caddyfile.Format([]byte(source))); got != source {
		t.Error("Caddyfile.example is not formatted: run caddy fmt --overwrite Caddyfile.example")
	}
	validate(t, "Caddyfile.example", adapt(t, source))
}

// xcaddy.json builds with the Caddy that the tests ran with, and from this checkout.
func TestXcaddyBuildsWhatWasTested(t *testing.T) {
	var build struct {
		CaddyVersion string `json:"caddy_version"`
		Plugins      []struct {
			ModulePath string `json:"module_path"`
			Version    string
		}
		Replacements []struct{ Old, New string }
	}
	if err := json.Unmarshal([]byte(read(t, "xcaddy.json")), &build); err != nil {
		t.Fatal(err)
	}
	mod := read(t, "go.mod")
	version := regexp.MustCompile(`(?m)^\s*(?:require )?github\.com/caddyserver/caddy/v2 (v\S+)`).FindStringSubmatch(mod)
	if version == nil || build.CaddyVersion != version[1] {
		t.Errorf("xcaddy.json has Caddy %s, go.mod has %v", build.CaddyVersion, version)
	}
	module := regexp.MustCompile(`(?m)^module (\S+)$`).FindStringSubmatch(mod)[1]
	if len(build.Plugins) != 1 || build.Plugins[0].ModulePath != module || build.Plugins[0].Version != "v0.0.0" {
		t.Errorf("xcaddy.json builds %v, not %s@v0.0.0", build.Plugins, module)
	}
	if len(build.Replacements) != 1 || build.Replacements[0].Old != module || build.Replacements[0].New != "." {
		t.Errorf("xcaddy.json replaces %v, not this module by its checkout", build.Replacements)
	}
}

// A replacement in go.mod is ignored when somebody else builds the module.
func TestModuleStandsAlone(t *testing.T) {
	for line := range strings.Lines(read(t, "go.mod")) {
		if strings.HasPrefix(line, "replace") || strings.HasPrefix(line, "toolchain") {
			t.Errorf("go.mod: %s", line)
		}
	}
}

var link = regexp.MustCompile(`(?:\]\(|src="|srcset="|href=")([^)"\s]+)`)

// Links between the pages have existing targets, including headings.
func TestDocumentationLinksAreValid(t *testing.T) {
	pages := documents(t)
	n := 0
	for name, page := range pages {
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(page, ""), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			n++
			path, anchor, _ := strings.Cut(m[1], "#")
			target := name
			if path != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(name), path))
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: the link %s leads nowhere", name, m[1])
			} else if anchor != "" && !anchors(pages[target])[anchor] {
				t.Errorf("%s: %s has no heading for #%s", name, target, anchor)
			}
		}
	}
	if n < 10 {
		t.Errorf("found %d links only", n)
	}
}

var heading = regexp.MustCompile(`(?m)^#+ (.+)$`)

// anchors returns the names under which a page's headings can be linked to.
func anchors(page string) map[string]bool {
	names := make(map[string]bool)
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(page, ""), -1) {
		name := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		names[strings.ReplaceAll(name, " ", "-")] = true
	}
	return names
}

// Make targets in the documentation exist.
func TestDocumentedTargetsExist(t *testing.T) {
	makefile := read(t, "Makefile")
	for name, page := range documents(t) {
		for _, m := range regexp.MustCompile("(?m)(?:`|^)make ([a-z]+)").FindAllStringSubmatch(page, -1) {
			if !regexp.MustCompile(`(?m)^` + m[1] + `:`).MatchString(makefile) {
				t.Errorf("%s speaks of make %s, which does not exist", name, m[1])
			}
		}
	}
}

// The license is the unchanged Apache License 2.0.
func TestLicense(t *testing.T) {
	text := read(t, "LICENSE")
	for _, part := range []string{"Apache License", "Version 2.0, January 2004", "END OF TERMS AND CONDITIONS"} {
		if !strings.Contains(text, part) {
			t.Errorf("LICENSE does not contain %q", part)
		}
	}
}
