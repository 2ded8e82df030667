package browser

import (
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
)

// Authenticator is a virtual authenticator of a page, for passkeys.
type Authenticator struct {
	p  *Page
	id webauthn.AuthenticatorID
}

// Platform is an authenticator as in a laptop: it verifies its user and offers what it has.
func Platform() webauthn.VirtualAuthenticatorOptions {
	return webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Ctap2version: webauthn.Ctap2versionCtap21,
		Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true, HasUserVerification: true,
		IsUserVerified: true, AutomaticPresenceSimulation: true,
	}
}

// TouchKey is a key that can do no more than to be touched.
func TouchKey() webauthn.VirtualAuthenticatorOptions {
	return webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolU2f, Transport: webauthn.AuthenticatorTransportUsb,
		AutomaticPresenceSimulation: true,
	}
}

// Plug gives the page an authenticator.
func (p *Page) Plug(o webauthn.VirtualAuthenticatorOptions) *Authenticator {
	p.r.Helper()
	p.do(func() error { return call(p, webauthn.Enable, webauthn.EnableParams{}) })
	a := &Authenticator{p: p}
	p.do(func() error {
		added, err := ask(p, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &o})
		a.id = added.AuthenticatorID
		return err
	})
	return a
}

// Touched says whether somebody is there from now on: without, whatever asks for a touch waits.
func (a *Authenticator) Touched(on bool) {
	a.p.r.Helper()
	a.p.do(func() error {
		return call(a.p, webauthn.SetAutomaticPresenceSimulation, webauthn.SetAutomaticPresenceSimulationParams{
			AuthenticatorID: a.id, Enabled: on,
		})
	})
}

// Credentials returns the passkeys that it has.
func (a *Authenticator) Credentials() (list []*webauthn.Credential) {
	a.p.r.Helper()
	a.p.do(func() error {
		got, err := ask(a.p, webauthn.GetCredentials, webauthn.GetCredentialsParams{AuthenticatorID: a.id})
		list = got.Credentials
		return err
	})
	return list
}

// kept is what is restored of a passkey: Chromium refuses the members of extensions that an authenticator does not have.
type kept struct {
	CredentialID         []byte  `json:"credentialId"`
	IsResidentCredential bool    `json:"isResidentCredential"`
	RpID                 string  `json:"rpId"`
	PrivateKey           []byte  `json:"privateKey"`
	UserHandle           []byte  `json:"userHandle"`
	SignCount            float64 `json:"signCount"`
}

type addKept struct {
	AuthenticatorID webauthn.AuthenticatorID `json:"authenticatorId"`
	Credential      kept                     `json:"credential"`
}

// Restore puts a passkey back as it is given, such as with an older counter.
func (a *Authenticator) Restore(c *webauthn.Credential) {
	a.p.r.Helper()
	a.p.do(func() error {
		return call(a.p, webauthn.RemoveCredential, webauthn.RemoveCredentialParams{
			AuthenticatorID: a.id, CredentialID: c.CredentialID,
		})
	})
	add := cdp.Command[addKept, cdp.Empty]{Method: webauthn.CommandAddCredential}
	a.p.do(func() error {
		return call(a.p, add, addKept{a.id, kept{
			c.CredentialID, c.IsResidentCredential, c.RpID, c.PrivateKey, c.UserHandle, c.SignCount,
		}})
	})
}
