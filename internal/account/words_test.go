package account_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/i18n"
	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Each reason of the password policy has a text in every language, and the English one is that of the policy.
func TestPasswordErrorsHaveTheTextOfThePolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seen := map[string]bool{}
	for _, pass := range []string{
		"              ", "short", strings.Repeat("vq8Zk2mWx9Lp", 90), "a long password \xff",
		"a long\tpassword", "password1234", "changeme-changeme", "nina nina nina",
	} {
		var policy *password.PolicyError
		if err := w.Policy.Check(pass, "nina", "", "", "Orchard"); !errors.As(err, &policy) {
			t.Fatalf("%.20q: %v", pass, err)
		}
		seen[policy.Reason] = true
		_, _, err := w.Create(w.ctx, operator, account.NewUser{Username: "nina", Password: pass, Active: true})
		var invalid *account.InvalidError
		if !errors.As(err, &invalid) || len(invalid.Fields) != 1 {
			t.Fatalf("%.20q: %v", pass, err)
		}
		if f := invalid.Fields[0]; f.Text != policy.Text || f.Message.IsZero() || f.Message.String() != policy.Text {
			t.Errorf("%s: %q, the policy says %q", policy.Reason, f.Text, policy.Text)
		}
	}
	if len(seen) != 8 {
		t.Errorf("reasons seen: %v", seen)
	}
}

// Each refusal has a text in every language, and the English one is what the command line prints.
func TestRefusalsAreTranslated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.EnvPrefix = "APP_"
	ada := w.add("ada", store.RoleAdmin)
	managed := w.edit(w.add("root", store.RoleAdmin).ID, func(u *store.User) { u.Managed = true })
	off, user, mail := false, store.RoleUser, "new@example.com"
	refused := map[string]error{}
	try := func(what string, id string, p account.Patch) {
		_, err := w.Update(w.ctx, operator, id, p)
		refused[what] = err
	}
	try("managed e-mail address", managed.ID, account.Patch{Email: &mail})
	try("managed role", managed.ID, account.Patch{Role: &user})
	try("managed state", managed.ID, account.Patch{Active: &off})
	_, err := w.ResetPassword(w.ctx, operator, managed.ID, account.Reset{})
	refused["managed password"], refused["managed and"] = err, w.Delete(w.ctx, operator, managed.ID)
	self := account.Actor{UserID: ada.ID, Name: "ada"}
	refused["your session"] = w.EndAllOwnSessions(w.ctx, self)
	if _, err := w.IssueSetupLink(w.ctx); err != nil {
		refused["set-up link"] = err
	}
	for what, err := range refused {
		var f *account.ForbiddenError
		if !errors.As(err, &f) {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if text := strings.ReplaceAll(f.Text, "APP_ADMIN_", ""); strings.Contains(text, "ADMIN_") {
			t.Errorf("%s names a variable that is not read: %s", what, f.Text)
		}
		said := map[string]bool{}
		for _, lang := range []string{"en", "de", "es"} {
			c, err := i18n.Load(lang, i18n.Files)
			if err != nil {
				t.Fatal(err)
			}
			text := c.Translate(f.Message)
			said[text] = true
			if lang == "en" && (text != f.Text || text != f.Error()) {
				t.Errorf("%s: the page says %q, the command line %q", what, text, f)
			}
		}
		if len(said) != 3 || said[f.Message.ID()] {
			t.Errorf("%s: %v", what, said)
		}
		for word := range strings.FieldsSeq(strings.TrimPrefix(what, "managed ")) {
			if !strings.Contains(strings.ToLower(f.Text), word) {
				t.Errorf("%s: %s", what, f.Text)
			}
		}
	}
	if len(refused) != 7 {
		t.Errorf("%d refusals", len(refused))
	}
}
