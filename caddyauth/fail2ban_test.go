package caddyauth_test

import (
	"encoding/json"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
)

// The filter of the documentation finds refused sign-ins in the log, with the address, and cannot be fed.
func TestFail2banFilterOfTheDocumentationFindsRefusedSignIns(t *testing.T) {
	docs, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^failregex = (.*)$`).FindSubmatch(docs)
	if m == nil {
		t.Fatal("the documentation has no filter")
	}
	filter := regexp.MustCompile(strings.ReplaceAll(string(m[1]), "<ADDR>", `([0-9a-fA-F.:]+)`))
	s := startAdmin(t, "gatehouse")
	forged := `x","logger":"gatehouse.login","msg":"sign-in refused","ip":"192.0.2.9",`
	b := s.browser()
	for _, name := range []string{adminName, "nobody", forged} {
		if a := b.do(b.form("/_auth/login", "username", name, "password", "not the password")); a.StatusCode != 401 {
			t.Fatalf("%q: %d", name, a.StatusCode)
		}
	}
	b.do(b.request("GET", "/"+strings.ReplaceAll(forged, `"`, "%22"), nil, "User-Agent", forged))
	if a := b.signIn(adminName, adminPass); a.StatusCode != 303 {
		t.Fatalf("signing in: %d", a.StatusCode)
	}
	s.logs.waitFor(t, `"msg":"signed in"`)
	var users []string
	for line := range strings.Lines(s.logs.String()) {
		found := filter.FindStringSubmatch(line)
		if found == nil {
			continue
		}
		var entry struct {
			Level, Outcome, User string
			RequestID            string `json:"request_id"`
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if ip, err := netip.ParseAddr(found[1]); err != nil || !ip.IsLoopback() || entry.Level != "warn" ||
			entry.Outcome != "wrong" || entry.RequestID == "" {
			t.Errorf("found %q in %s", found[1], line)
		}
		users = append(users, entry.User)
	}
	if got := strings.Join(users, ","); got != adminName+",," {
		t.Errorf("the filter finds refused sign-ins of %q", got)
	}
}
