package oidc

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// AuthParam is a parameter that goes along with every authorization request.
type AuthParam struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// reservedParams are the parameters of an authorization request that the gate itself sends, or that would undo what it
// checks.
var reservedParams = []string{
	"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "code_challenge",
	"code_challenge_method", "request", "request_uri", "max_age",
	"client_secret", "client_assertion", "client_assertion_type", "code_verifier", "code", "id_token_hint",
}

// mutableClaims are claims that users of a provider, or administrators of other tenants, can choose or change. Whoever
// knows somebody else's value would become that person.
var mutableClaims = []string{
	"email", "preferred_username", "upn", "unique_name", "username", "nickname", "name", "given_name", "family_name",
	"middle_name", "phone_number", "website", "profile", "picture", "locale", "login_hint", "groups", "roles",
}

// perSignInClaims are claims with another value in each ID token, or with the same one for everybody.
var perSignInClaims = []string{
	"iss", "aud", "azp", "exp", "iat", "nbf", "nonce", "auth_time", "at_hash", "c_hash", "jti", "sid", "acr", "amr", "tid",
	"hd", "org_id", "organization", "tenant", "tenant_id", "tenantid", "realm", "domain", "azpacr", "ver", "idp", "typ",
	"scope", "scp", "client_id", "appid", "email_verified", "phone_number_verified", "updated_at", "zoneinfo", "address",
	"birthdate", "gender", "department", "company", "country", "ctry", "realm_access", "resource_access", "wids",
	"entitlements", "session_state", "s_hash", "uti", "rh", "aio",
}

// stableClaims are claims that are known to be another value for each person, for good.
var stableClaims = []string{
	"sub", "oid", "uid", "uuid", "user_id", "objectguid", "object_guid", "ipauniqueid", "entryuuid", "nsuniqueid",
}

// Warnings returns what is allowed, and may not be meant.
func (c *Config) Warnings() []string {
	if c.IdentityKey == "" || slices.Contains(stableClaims, strings.ToLower(c.IdentityKey)) {
		return nil
	}
	return []string{fmt.Sprintf("oidc %s: identity_key %s: make sure that the provider never gives two people the same "+
		"value, nor one that somebody had before, and that nobody can change their own", c.Name, c.IdentityKey)}
}

// checkAddresses checks the addresses that replace those of the issuer.
func (c *Config) checkAddresses() error {
	const form = "use an address such as https://id.example.com/path; http only with insecure_http"
	if c.Discovery != "" && !isUsableURL(c.Discovery, c.Insecure) {
		return errors.New("discovery: is not an address of a document; " + form)
	}
	for kind, address := range c.Endpoints {
		switch {
		case !slices.Contains(EndpointKinds, kind):
			return fmt.Errorf("endpoint %s: is unknown; use %s", Clean(kind, 40), strings.Join(EndpointKinds, ", "))
		case !isUsableURL(address, c.Insecure):
			return fmt.Errorf("endpoint %s: is not an address; %s", kind, form)
		}
	}
	switch {
	case c.NoUserinfo && c.Endpoints[EndpointUserinfo] != "":
		return errors.New("userinfo off and endpoint userinfo contradict each other; remove one")
	case c.NoRefresh && c.RefreshGrace != 0:
		return errors.New("refresh off and refresh_grace contradict each other; remove one")
	}
	if len(c.CA) > 0 && !x509.NewCertPool().AppendCertsFromPEM(c.CA) {
		return errors.New("ca_file: the file holds no certificate; give PEM with the CA that signed the provider's")
	}
	return nil
}

// checkRequest checks what is added to authorization requests.
func (c *Config) checkRequest() error {
	seen := make(map[string]bool)
	for _, a := range c.AuthParams {
		switch {
		case a.Name == "" || len(a.Name) > 64 || !plainText(a.Name) || strings.ContainsAny(a.Name, " &=?#%+"):
			return fmt.Errorf("auth_params: %q is not the name of a parameter", Clean(a.Name, 60))
		case slices.ContainsFunc(reservedParams, func(r string) bool { return strings.EqualFold(r, a.Name) }):
			return fmt.Errorf("auth_params: %s is sent by the gate itself, or would undo what it checks; leave it out", a.Name)
		case seen[a.Name]:
			return fmt.Errorf("auth_params: %s is given twice", a.Name)
		case a.Value == "" || len(a.Value) > maxParam || !plainText(a.Value):
			return fmt.Errorf("auth_params: the value of %s is empty, too long or not plain text", a.Name)
		case a.Name == "login_hint" && c.LoginHint:
			return errors.New("auth_params login_hint and login_hint contradict each other; remove one")
		}
		seen[a.Name] = true
	}
	return nil
}

// checkIdentityKey refuses claims that do not identify a person.
func (c *Config) checkIdentityKey() error {
	key := c.IdentityKey
	named := func(list []string) bool {
		return slices.ContainsFunc(list, func(name string) bool { return strings.EqualFold(name, key) })
	}
	switch {
	case key == "":
		return nil
	case len(key) > 256 || !plainText(key) || strings.TrimSpace(key) != key:
		return fmt.Errorf("identity_key: %q is not the name of a claim", Clean(key, 60))
	case named(mutableClaims):
		return fmt.Errorf("identity_key %s: people can choose or change it, and would become whoever had the same value; "+
			"use a claim that never changes, such as oid", key)
	case named(perSignInClaims):
		return fmt.Errorf("identity_key %s: it does not tell people apart; use a claim such as oid", key)
	}
	return nil
}

// isUsableURL reports whether the URL of an endpoint is absolute, well-formed and of an allowed scheme.
func isUsableURL(s string, insecure bool) bool {
	u, err := url.Parse(s)
	return err == nil && plainHost(u) && u.User == nil && u.Fragment == "" && Clean(s, 2048) == s &&
		(u.Scheme == "https" || (insecure && u.Scheme == "http"))
}
