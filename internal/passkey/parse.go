package passkey

import (
	"bytes"
	"encoding/json"

	"github.com/go-webauthn/webauthn/protocol"
)

// response is what is read of the JSON of a credential (Web Authentication Level 3, section 5.1.8). Everything else in
// it, outputs of extensions that nobody has asked for first of all, is ignored: browsers and their extensions add to
// it.
type response struct {
	ID         string `json:"id"`
	RawID      string `json:"rawId"`
	Type       string `json:"type"`
	Attachment string `json:"authenticatorAttachment,omitempty"`
	Response   struct {
		ClientData  string   `json:"clientDataJSON,omitempty"`
		AuthData    string   `json:"authenticatorData,omitempty"`
		Signature   string   `json:"signature,omitempty"`
		UserHandle  string   `json:"userHandle,omitempty"`
		Attestation string   `json:"attestationObject,omitempty"`
		Transports  []string `json:"transports,omitempty"`
	} `json:"response"`
	Extensions *outputs `json:"clientExtensionResults,omitempty"`
}

// outputs are those of extensions that we ask for.
type outputs struct {
	CredProps *credProps `json:"credProps,omitempty"`
}

type credProps struct {
	RK *bool `json:"rk,omitempty"`
}

// readResponse reads the members that we know. Their types have to be right, those of the others do not matter.
func readResponse(text string, limit int) (response, error) {
	var out response
	if len(text) > limit {
		return out, ErrRefused
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	if err := dec.Decode(&out); err != nil || dec.More() {
		return out, ErrRefused
	}
	return out, nil
}

// parseAssertion reads what an authenticator responded to a request for a proof.
func parseAssertion(text string) (*protocol.ParsedCredentialAssertionData, error) {
	in, err := readResponse(text, MaxAssertion)
	if err != nil {
		return nil, err
	}
	in.Extensions, in.Response.Attestation, in.Response.Transports = nil, "", nil
	plain, err := json.Marshal(in)
	if err != nil {
		return nil, ErrRefused
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(plain)
	if err != nil {
		return nil, ErrRefused
	}
	return parsed, nil
}

// parseAttestation reads what an authenticator responded to a request for a passkey.
func parseAttestation(text string) (*protocol.ParsedCredentialCreationData, error) {
	in, err := readResponse(text, MaxAttestation)
	if err != nil {
		return nil, err
	}
	// All of these are in the attestation object as well, which is what is verified.
	in.Response.Signature, in.Response.UserHandle, in.Response.AuthData = "", "", ""
	plain, err := json.Marshal(in)
	if err != nil {
		return nil, ErrRefused
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(plain)
	if err != nil {
		return nil, ErrRefused
	}
	return parsed, nil
}
