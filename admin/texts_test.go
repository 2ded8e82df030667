package admin

import (
	"encoding/json"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/api"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

func catalog(t *testing.T, src fs.FS) map[string]json.RawMessage {
	t.Helper()
	b, err := fs.ReadFile(src, "lang/en.json")
	if err != nil {
		t.Fatal(err)
	}
	var texts map[string]json.RawMessage
	if err := json.Unmarshal(b, &texts); err != nil {
		t.Fatal(err)
	}
	return texts
}

var (
	quoted = regexp.MustCompile(`"([a-z_]+\.[a-z0-9_.-]+)"`)
	asked  = regexp.MustCompile(`(?:text|Text|timeFact)\("([a-z_]+\.[a-z0-9_.-]*[a-z0-9])"`)
	// openID are ids that end in a value: text("role." + name).
	openID = regexp.MustCompile(`"([a-z_]+\.(?:[a-z_]*_)?)"`)
)

// Each text that the code asks for exists, and each that exists is asked for.
func TestTextsAndCodeAgree(t *testing.T) {
	t.Parallel()
	own, all := catalog(t, Files), map[string]json.RawMessage{}
	for _, src := range append(sources[:len(sources):len(sources)], Files) {
		maps.Copy(all, catalog(t, src))
	}
	for id := range layoutTexts {
		all[id] = nil
	}
	names, err := filepath.Glob("*.go")
	if err != nil || len(names) < 10 {
		t.Fatal(len(names), err)
	}
	used, prefixes := map[string]bool{}, []string{"flash.", "action.", "audit.group_"}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range asked.FindAllStringSubmatch(string(src), -1) {
			if _, ok := all[m[1]]; !ok {
				t.Errorf("%s asks for %q, which is no text", name, m[1])
			}
		}
		for _, m := range quoted.FindAllStringSubmatch(string(src), -1) {
			used[m[1]] = true
		}
		for _, m := range openID.FindAllStringSubmatch(string(src), -1) {
			prefixes = append(prefixes, m[1])
		}
	}
	// The questions have their texts under one word: activate.title, .text and .submit.
	for _, q := range []string{"activate", "deactivate", "delete", "reset", "cancel_link", "require_change", "end_sessions", "unlink", "move", "unlock", "unlock_mfa"} {
		prefixes = append(prefixes, q+".title", q+".text", q+".submit")
	}
	prefixes = append(prefixes, "admin.", "user.") // the links of areas and tabs
	for id := range own {
		if !used[id] && !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(id, p) }) {
			t.Errorf("nothing asks for the text %q", id)
		}
	}
}

// layoutTexts are the texts of internal/ui and internal/i18n that the code here uses.
var layoutTexts = map[string]bool{"form.save": true, "form.optional": true, "layout.error": true, "list.or": true}

// Whatever can be said about a value has its words: a state, an origin, an act.
func TestEveryValueHasWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for prefix, values := range map[string][]string{
		"status.": api.UserStatuses, "role.": api.Roles, "roles.about_": api.Roles, "outcome.": api.Outcomes, "bulk.": bulkActions, "bulk.text_": bulkActions,
		"origin.": {"local", "env", "oidc", "imported"}, "since.": api.Periods, "kind.": api.UserKinds, "way.": {passwordByLink, passwordGenerated, passwordTyped},
	} {
		for _, v := range values {
			if !w.ui.HasText(prefix + v) {
				t.Errorf("there is no text %q", prefix+v)
			}
		}
	}
	words := &web.Request{UI: w.ui}
	for _, rt := range w.table {
		if rt.Audit != "" && words.Action(rt.Audit) == rt.Audit {
			t.Errorf("the act %q has no words", rt.Audit)
		}
	}
	for _, name := range auditActions {
		if actionName(words, name) == name {
			t.Errorf("the act %q has no words", name)
		}
	}
}

var (
	ids    = regexp.MustCompile(` id="([^"]*)"`)
	refs   = regexp.MustCompile(` (?:for|aria-labelledby|aria-describedby|data-copy|data-status)="([^"]*)"`)
	inputs = regexp.MustCompile(`<(?:input|select|textarea) [^>]*>`)
	plainT = regexp.MustCompile(`>([^<>]*[a-z]{3,}[^<>]*)<`)
)

// Every page has one heading and one main part, a title of its own, ids that are unique, references that lead
// somewhere, and a name for each input.
func TestPagesAreWellBuilt(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	b := s.SignIn("ada")
	titles := map[string]string{}
	for _, rt := range s.world.table {
		if rt.Method != http.MethodGet || rt.Doc != nil || strings.Contains(rt.Pattern, "export") {
			continue
		}
		body := s.try(t, b, rt.Method, rt.Pattern).Body
		if strings.Count(body, "<h1>") != 1 || strings.Count(body, "<main ") != 1 || !strings.Contains(body, `<html lang="en"`) {
			t.Errorf("%s: not one heading, or not one main part", rt.Pattern)
		}
		_, title, _ := strings.Cut(body, "<title>")
		title, _, _ = strings.Cut(title, "</title>")
		if other := titles[title]; other != "" && !strings.Contains(rt.Pattern, "/users/{id}") {
			t.Errorf("%s and %s are both called %q", rt.Pattern, other, title)
		}
		titles[title] = rt.Pattern
		have := map[string]bool{}
		for _, m := range ids.FindAllStringSubmatch(body, -1) {
			if have[m[1]] || m[1] == "" {
				t.Errorf("%s: the id %q stands twice", rt.Pattern, m[1])
			}
			have[m[1]] = true
		}
		for _, m := range refs.FindAllStringSubmatch(body, -1) {
			for _, id := range strings.Fields(m[1]) {
				if !have[id] {
					t.Errorf("%s: nothing has the id %q", rt.Pattern, id)
				}
			}
		}
		for _, in := range inputs.FindAllString(body, -1) {
			id := ids.FindStringSubmatch(in)
			if !strings.Contains(in, `type="hidden"`) && !strings.Contains(in, "aria-label=") && (id == nil || !strings.Contains(body, `<label for="`+id[1]+`"`)) {
				t.Errorf("%s: %s has no label", rt.Pattern, in)
			}
		}
		for _, bad := range []string{"style=", " onclick", "<script>", "javascript:", "tabindex=\"1"} {
			if strings.Contains(body, bad) {
				t.Errorf("%s has %q", rt.Pattern, bad)
			}
		}
	}
}

// In the made-up language a text that bypasses the catalog stands out.
func TestEveryTextComesFromTheCatalog(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { c.Language = ui.Pseudo })
	b := s.SignIn("ada")
	// What stays as it is: names and values of the test's own.
	given := regexp.MustCompile(`ada|tom|walter|…|acme|Acme|open\.test|staff|\.test|require |command line|/|@|session|idle|default|sqlite|postgres|Gatehouse|\d{4}|[a-z]+\.[a-z_]+|Go|openid|` +
		`^[0-9a-z]{26}$|^(active|admin|true|false|email|email_verified|groups|name|password|set|pending|role|role_granted|user|username)$`)
	seen := 0
	for _, rt := range s.world.table {
		if rt.Method != http.MethodGet || rt.Doc != nil || strings.Contains(rt.Pattern, "export") || strings.Contains(rt.Pattern, "{id}/handover") {
			continue
		}
		_, body, _ := strings.Cut(s.try(t, b, rt.Method, rt.Pattern).Body, "<body>")
		for _, m := range plainT.FindAllStringSubmatch(body, -1) {
			text := strings.TrimSpace(m[1])
			if strings.Contains(text, "[") || given.MatchString(text) {
				seen++
				continue
			}
			t.Errorf("%s says %q past the catalog", rt.Pattern, text)
		}
	}
	if seen < 100 {
		t.Errorf("%d texts seen only", seen)
	}
}
