package machine_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/machine"
	idp "github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

func claim(path string, values ...string) machine.Claim {
	return machine.Claim{Path: path, Values: values}
}

func rule(account string, claims ...machine.Claim) machine.Rule {
	return machine.Rule{Account: account, Claims: claims}
}

// with returns the JSON text of a good token's claims with more members in it, as they are written.
func (w *world) with(members string) string {
	base := strings.TrimSuffix(string(payload(w.t, w.claims(nil))), "}")
	return idp.RSA(0).SignBytes([]byte(base+","+members+"}"), nil)
}

func TestAClaimHoldsByItsExactText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		members string
		claim   machine.Claim
		holds   bool
	}{
		{`"a":"x"`, claim("a", "x"), true},
		{`"a":"x"`, claim("a", "y", "x"), true},
		{`"a":"x"`, claim("a", "X"), false},
		{`"a":"x"`, claim("A", "x"), false},
		{`"a":" x"`, claim("a", "x"), false},
		{`"a":"x "`, claim("a", "x"), false},
		{`"a":"x\n"`, claim("a", "x"), false},
		{`"a":"xy"`, claim("a", "x"), false},
		{`"a":"ｘ"`, claim("a", "x"), false},
		{`"a":"e\u0301"`, claim("a", "é"), false},
		{`"a":"\u0078"`, claim("a", "x"), true},
		{`"a":""`, claim("a", "x"), false},
		{`"a":null`, claim("a", "null"), false},
		{`"a":null`, claim("a", "*"), false},
		{`"b":"x"`, claim("a", "*"), false},
		{`"a":""`, claim("a", "*"), true},
		{`"a":"x"`, claim("a", "*"), true},
		{`"a":"refs/heads/main"`, claim("a", "refs/heads/*"), true},
		{`"a":"refs/heads/"`, claim("a", "refs/heads/*"), true},
		{`"a":"refs/heads"`, claim("a", "refs/heads/*"), false},
		{`"a":"refs/tags/v1"`, claim("a", "refs/heads/*"), false},
		{`"a":"xrefs/heads/main"`, claim("a", "refs/heads/*"), false},
		{`"a":"refs/heads/*"`, claim("a", "refs/heads/*"), true},
		{`"a":"refs/x/main"`, claim("a", "refs/*/main"), false},
		{`"a":"refs/*/main"`, claim("a", "refs/*/main"), true},
		{`"a":"xyz"`, claim("a", "x.z"), false},
		{`"a":"x?"`, claim("a", "xy"), false},
	} {
		hold(t, c.members, c.claim, c.holds)
	}
}

func hold(t *testing.T, members string, c machine.Claim, want bool) {
	t.Helper()
	w := newWorld(t, func(i *machine.Issuer) { i.Rules = []machine.Rule{rule("deploy", c)} })
	if what := fmt.Sprintf("%s: %s %q", members, c.Path, c.Values); want {
		w.accepted(what, w.with(members))
	} else {
		w.refused(what, w.with(members))
	}
}

// A number is compared as it was written: a float that rounds would make two ids one.
func TestNumbersAndBooleansHoldByTheirJSONText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		number, text string
		holds        bool
	}{
		{"1", "1", true},
		{"1.0", "1.0", true},
		{"1.0", "1", false},
		{"1", "1.0", false},
		{"1e3", "1e3", true},
		{"1e3", "1000", false},
		{"1000", "1e3", false},
		{"1E3", "1e3", false},
		{"-0", "0", false},
		{"-0", "-0", true},
		{"9007199254740993", "9007199254740993", true},
		{"9007199254740993", "9007199254740992", false},
		{"9007199254740992", "9007199254740993", false},
		{"123456789012345678901234567890", "123456789012345678901234567890", true},
		{"123456789012345678901234567890", "1.2345678901234568e+29", false},
		{"0.1", "0.1", true},
		{"0.10", "0.1", false},
		{"1e400", "1e400", true},
		{`"1"`, "1", true},
		{"12", "1*", true},
		{"21", "1*", false},
		{"true", "true", true},
		{"false", "false", true},
		{"true", "1", false},
		{"false", "", false},
		{"true", "TRUE", false},
		{`"true"`, "true", true},
	} {
		if c.text != "" {
			hold(t, `"a":`+c.number, claim("a", c.text), c.holds)
		}
	}
}

func TestListsHoldByAnyElementAndObjectsByNone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		value, text string
		holds       bool
	}{
		{`["x","y"]`, "y", true},
		{`["x",5,true]`, "5", true},
		{`["x",5,true]`, "true", true},
		{`[]`, "*", false},
		{`["x y"]`, "x", false},
		{`"x y"`, "x", false},
		{`"x,y"`, "x", false},
		{`["prod-1"]`, "prod-*", true},
		{`[["x"]]`, "x", false},
		{`[{"x":"x"}]`, "x", false},
		{`{"x":"x"}`, "x", false},
		{`{"x":"x"}`, "*", false},
		{`[null]`, "*", false},
		{`[null,"x"]`, "x", true},
		{`["x","y"]`, `["x","y"]`, false},
		{`{}`, "{}", false},
	} {
		hold(t, `"a":`+c.value, claim("a", c.text), c.holds)
	}
}

func TestDotsLeadIntoObjectsTheLongestNameFirst(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		members, path string
		holds         bool
	}{
		{`"kubernetes.io":{"namespace":"x"}`, "kubernetes.io.namespace", true},
		{`"kubernetes.io":{"pod":{"name":"x"}}`, "kubernetes.io.pod.name", true},
		{`"a":{"b":{"c":"x"}}`, "a.b.c", true},
		{`"a.b.c":"x","a":{"b":{"c":"y"}}`, "a.b.c", true},
		{`"a.b.c":"y","a":{"b":{"c":"x"}}`, "a.b.c", false},
		{`"a.b":{"c":"x"},"a":{"b":{"c":"y"},"b.c":"y"}`, "a.b.c", true},
		{`"a.b":{"c":"y"},"a":{"b":{"c":"x"},"b.c":"x"}`, "a.b.c", false},
		{`"https://app.example/role":"x"`, "https://app.example/role", true},
		{`"a":{"b":"x"}`, "a", false},
		{`"a":"x"`, "a.b", false},
		{`"a":[{"b":"x"}]`, "a.b", false},
		{`"a":{"B":"x"}`, "a.b", false},
	} {
		hold(t, c.members, claim(c.path, "x"), c.holds)
	}
}

func TestTheFirstRuleThatHoldsDecides(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *machine.Issuer) {
		c.Rules = []machine.Rule{
			rule("release", claim("repository_id", "456789"), claim("ref", "refs/tags/*"), claim("groups", "a"), claim("groups", "b")),
			rule("deploy", claim("repository_id", "456789", "2"), claim("ref", "refs/heads/main")),
			rule("other", claim("repository_id", "456789")),
			rule("late", claim("repository_id", "*")),
		}
	})
	for members, want := range map[string]string{
		`"ref":"refs/tags/v1","groups":["a","b"]`:                 "release",
		`"ref":"refs/tags/v1","groups":["a"]`:                     "other",
		`"ref":"refs/heads/main"`:                                 "deploy",
		`"ref":"refs/heads/main","groups":["a","b"]`:              "deploy",
		`"ref":"refs/heads/dev"`:                                  "other",
		`"ref":["refs/heads/main","refs/tags/x"],"groups":["b"]`:  "deploy",
		`"environment":"production","job_workflow_ref":"o/r/w@x"`: "other",
	} {
		if got := w.accepted(members, w.with(members)).Account; got != want {
			t.Errorf("%s: acts as %s, want %s", members, got, want)
		}
	}
	if got := w.accepted("another one", w.sign(map[string]any{"repository_id": 2, "ref": "refs/heads/main"})).Account; got != "deploy" {
		t.Errorf("acts as %s", got)
	}
	w.refused("no claim", w.sign(map[string]any{"repository_id": nil}))
}
