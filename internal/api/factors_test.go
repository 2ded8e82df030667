package api

import (
	"encoding/base32"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/internal/recovery"
	"github.com/gatehouse-auth/gatehouse/internal/totp"
	"github.com/gatehouse-auth/gatehouse/internal/ui"
	"github.com/gatehouse-auth/gatehouse/store"
)

// setUp is an authenticator app as it travels while it is set up.
type setUp struct{ ID, OTPAuth, Secret string }

// addApp sets an authenticator app up, and returns it with the recovery codes.
func (w *world) addApp(b *browser) (setUp, []string) {
	w.T.Helper()
	var s setUp
	b.JSON(http.MethodPost, "/me/totp", `{}`).Want(w.T, http.StatusCreated).Decode(w.T, &s)
	var done struct {
		ID    string   `json:"id"`
		Codes []string `json:"recovery_codes"`
	}
	body := `{"code":"` + w.codeOf(s) + `","name":"phone"}`
	b.JSON(http.MethodPost, "/me/totp/"+s.ID, body).Want(w.T, http.StatusOK).Decode(w.T, &done)
	if done.ID != s.ID {
		w.T.Fatalf("confirmed %q", done.ID)
	}
	return s, done.Codes
}

// codeOf returns the code that an app shows now.
func (w *world) codeOf(s setUp) string {
	w.T.Helper()
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(s.Secret)
	if err != nil {
		w.T.Fatal(err)
	}
	return totp.Code(secret, totp.Step(w.Clock.Now()))
}

func TestSecondFactorsByAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Add("ada", store.RoleAdmin)
	tom := w.Add("tom", store.RoleUser)
	other, b := w.SignIn("tom"), w.SignIn("tom")
	get := func(at, want string) {
		t.Helper()
		if a := b.JSON(http.MethodGet, at, nil).Want(t, http.StatusOK); strings.TrimSpace(a.Body) != want {
			t.Errorf("%s: %s, want %s", at, a.Body, want)
		}
	}
	get("/me/factors", `{"totp":0,"passkeys":0,"recovery":0,"ask_second_factor":false}`)
	get("/me/totp", `{"items":[],"next":""}`)
	get("/me/recovery-codes", `{"left":0,"used":0}`)
	var s setUp
	b.JSON(http.MethodPost, "/me/totp", `{}`).Want(t, http.StatusCreated).Decode(t, &s)
	if !strings.HasPrefix(s.OTPAuth, "otpauth://totp/127.0.0.1:tom?") || !strings.Contains(s.OTPAuth, "secret="+s.Secret) || len(s.Secret) != 32 {
		t.Errorf("set-up %+v", s)
	}
	get("/me/totp", `{"items":[],"next":""}`) // it does not count yet
	for _, wrong := range []string{"", "12345", "abcdef", "000000"} {
		var p struct{ Errors []ui.FieldError }
		a := b.JSON(http.MethodPost, "/me/totp/"+s.ID, `{"code":"`+wrong+`"}`).Want(t, http.StatusUnprocessableEntity)
		if a.Decode(t, &p); len(p.Errors) != 1 || p.Errors[0].Field != "code" {
			t.Errorf("code %q: %s", wrong, a)
		}
	}
	b.JSON(http.MethodPost, "/me/totp/"+s.ID, `{"code":"000000","name":"`+strings.Repeat("x", 65)+`"}`).Want(t, http.StatusUnprocessableEntity)
	again, codes := w.addApp(b)
	if again.ID != s.ID || again.Secret != s.Secret || len(codes) != recovery.Count {
		t.Errorf("begun twice: %+v, %d codes", again, len(codes))
	}
	other.JSON(http.MethodGet, "/me", nil).Want(t, http.StatusUnauthorized) // others end unless the request says no
	get("/me/factors", `{"totp":1,"passkeys":0,"recovery":10,"ask_second_factor":true}`)
	var list List[totpApp]
	b.JSON(http.MethodGet, "/me/totp", nil).Want(t, http.StatusOK).Decode(t, &list)
	if len(list.Items) != 1 || list.Items[0].Name != "phone" {
		t.Errorf("%+v", list)
	}
	b.JSON(http.MethodPatch, "/me/totp/"+s.ID, `{"name":"new phone"}`).Want(t, http.StatusOK).Decode(t, &list.Items[0])
	if list.Items[0].Name != "new phone" {
		t.Errorf("%+v", list)
	}
	var more struct{ Codes []string }
	b.JSON(http.MethodPost, "/me/recovery-codes", `{}`).Want(t, http.StatusCreated).Decode(t, &more)
	if len(more.Codes) != recovery.Count || slices.Contains(codes, more.Codes[0]) {
		t.Errorf("%v", more)
	}
	if a := b.JSON(http.MethodPatch, "/me/factors", `{"ask_second_factor":false}`).Want(t, http.StatusForbidden); a.Problem() != "ask-locked" {
		t.Errorf("the switch: %s", a)
	}
	for _, id := range []string{"x", strings.Repeat("0", 26)} {
		b.JSON(http.MethodDelete, "/me/totp/"+id, nil).Want(t, http.StatusNotFound)
		b.JSON(http.MethodPatch, "/me/totp/"+id, `{"name":"a"}`).Want(t, http.StatusNotFound)
		b.JSON(http.MethodPost, "/me/totp/"+id, `{"code":"123456"}`).Want(t, http.StatusNotFound)
	}
	// No GET tells a secret.
	for _, at := range []string{"/me", "/me/factors", "/me/totp", "/me/recovery-codes", "/me/sessions", "/session"} {
		a := b.JSON(http.MethodGet, at, nil)
		for _, secret := range append(more.Codes, s.Secret) {
			if strings.Contains(a.Body, secret) {
				t.Errorf("%s has a secret", at)
			}
		}
	}
	b.JSON(http.MethodGet, "/me/totp/"+s.ID, nil).Want(t, http.StatusMethodNotAllowed)
	b.JSON(http.MethodDelete, "/me/totp/"+s.ID, nil).Want(t, http.StatusNoContent)
	if f := w.User(tom.ID).Factors; f.Any() {
		t.Errorf("left is %+v", f)
	}
	w.Login.Second.Mode = login.MFAOff
	for _, at := range []string{"/me/factors", "/me/totp", "/me/recovery-codes"} {
		b.JSON(http.MethodGet, at, nil).Want(t, http.StatusNotFound)
	}
}

func TestAdministratorsTakeSecondFactorsByAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada, tom := w.Add("ada", store.RoleAdmin), w.Add("tom", store.RoleUser)
	b, toms := w.SignIn("ada"), w.SignIn("tom")
	_, codes := w.addApp(toms)
	var u UserDetails
	a := b.JSON(http.MethodGet, "/users/"+tom.ID, nil).Want(t, http.StatusOK)
	if a.Decode(t, &u); u.Factors.TOTP != 1 || u.Factors.Recovery != 10 || u.Factors.LastUsedAt == nil || strings.Contains(a.Body, codes[0]) {
		t.Errorf("read %s", a)
	}
	for query, want := range map[string]string{"none": "ada", "any": "tom", "required_missing": ""} {
		var list List[User]
		b.JSON(http.MethodGet, "/users?mfa="+query, nil).Want(t, http.StatusOK).Decode(t, &list)
		var names []string
		for _, u := range list.Items {
			names = append(names, u.Username)
		}
		if strings.Join(names, " ") != want {
			t.Errorf("%s: %v", query, names)
		}
	}
	b.JSON(http.MethodGet, "/users?mfa=some", nil).Want(t, http.StatusBadRequest)
	reset := "/users/" + tom.ID + "/reset-mfa"
	b.JSON(http.MethodPost, reset, `{"methods":["sms"]}`).Want(t, http.StatusUnprocessableEntity)
	b.JSON(http.MethodPost, "/users/"+ada.ID+"/reset-mfa", `{}`).Want(t, http.StatusForbidden)
	toms.JSON(http.MethodPost, reset, `{}`).Want(t, http.StatusForbidden)
	b.JSON(http.MethodPost, "/users/"+tom.ID+"/unlock-mfa", nil).Want(t, http.StatusNoContent)
	w.Program(tom.ID)
	var done MFAReset
	b.JSON(http.MethodPost, reset, `{"methods":["totp"],"end_sessions":false}`).Want(t, http.StatusOK).Decode(t, &done)
	if done.Removed.TOTP != 1 || done.Removed.Codes != 10 || done.Removed.Sessions != 0 || done.Tokens != 1 || done.Identities == nil {
		t.Errorf("told is %+v", done)
	}
	toms.JSON(http.MethodGet, "/me", nil).Want(t, http.StatusOK)
	done = MFAReset{}
	b.JSON(http.MethodPost, reset, `{"link":true,"tokens":true}`).Want(t, http.StatusOK).Decode(t, &done)
	if done.Removed.Sessions != 1 || done.Removed.Tokens != 1 || done.Tokens != 0 || done.Link == "" || done.ExpiresAt == nil {
		t.Errorf("told is %+v", done)
	}
	toms.JSON(http.MethodGet, "/me", nil).Want(t, http.StatusUnauthorized)
	w.Login.Second.Mode = login.MFAAdmins
	_, err := w.Accounts.Factors.ResetMFA(t.Context(), account.Actor{Kind: account.CommandLine}, ada.ID, account.ResetMFA{TOTP: true})
	if err != nil {
		t.Error(err)
	}
}
