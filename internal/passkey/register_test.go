package passkey_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/passkey"
	"github.com/gatehouse-auth/gatehouse/internal/testenv/authenticator"
	"github.com/gatehouse-auth/gatehouse/store"
)

// A response to one request for a passkey is none to another one, nor that of another person.
func TestARegistrationCountsWhereItBegan(t *testing.T) {
	t.Parallel()
	w, key := newWorld(t), authenticator.New(origin)
	begin := func() passkey.Options {
		o, err := w.BeginRegistration(t.Context(), w.at(passkey.Register), w.user, w.handle, nil)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	first, second := begin(), begin()
	finish := func(c passkey.Ceremony, state, response string) error {
		_, _, err := w.FinishRegistration(t.Context(), c, state, response, w.user, w.handle)
		return err
	}
	made := key.Create(first.PublicKey)
	enroll := w.at(passkey.Enroll)
	lies := *key
	lies.Origin = "https://b.example.com"
	proof := w.register(t, authenticator.New(origin))
	o, err := w.BeginAssertion(t.Context(), w.at(passkey.StepUp), []store.Passkey{proof})
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"another request": finish(w.at(passkey.Register), second.State, made),
		"another kind":    finish(enroll, first.State, made),
		"another origin":  finish(w.at(passkey.Register), second.State, lies.Create(second.PublicKey)),
		"an assertion":    finish(w.at(passkey.Register), second.State, key.Get(o.PublicKey)),
		"state of a use":  finish(w.at(passkey.StepUp), o.State, made),
		"nothing":         finish(w.at(passkey.Register), first.State, ""),
	} {
		if !errors.Is(err, passkey.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := finish(w.at(passkey.Register), first.State, made); err != nil {
		t.Error(err)
	}
}

func FuzzResponses(f *testing.F) {
	w, key := newWorld(f), authenticator.New(origin)
	p := w.register(f, key)
	use, err := w.BeginAssertion(f.Context(), w.at(passkey.SignIn), nil)
	if err != nil {
		f.Fatal(err)
	}
	add, err := w.BeginRegistration(f.Context(), w.at(passkey.Register), w.user, w.handle, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(use.State, key.Get(use.PublicKey))
	f.Add(add.State, key.Create(add.PublicKey))
	f.Add("s1.1.", `{"id":"","response":{}}`)
	f.Fuzz(func(t *testing.T, state, response string) {
		a, err := w.ReadAssertion(t.Context(), w.at(passkey.SignIn), state, response)
		if err == nil {
			err = a.Verify(p)
		}
		if err != nil && !errors.Is(err, passkey.ErrRefused) {
			t.Errorf("an assertion: %v", err)
		}
		_, _, err = w.FinishRegistration(t.Context(), w.at(passkey.Register), state, response, w.user, w.handle)
		if err != nil && !errors.Is(err, passkey.ErrRefused) {
			t.Errorf("an attestation: %v", err)
		}
	})
}

// A key that is larger than any authenticator's is refused like everything else that is none, and not by the store.
func TestAKeyHasABound(t *testing.T) {
	t.Parallel()
	for size, taken := range map[int]bool{256: true, 1024: true, 2048: false, 8192: false, 40_000: false} {
		w, key := newWorld(t), authenticator.New(origin)
		key.Response = func(out map[string]any) {
			response, _ := out["response"].(map[string]any)
			text, _ := response["attestationObject"].(string)
			object, err := base64.RawURLEncoding.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			const head, before = 30, 37 + 16 + 2 + 32 // of the object, and of the authenticator data without the key
			data := append([]byte{}, object[head:head+before]...)
			// {1: 3, 3: -257, -1: n, -2: 65537} in CBOR (RFC 8230, section 4).
			data = append(append(data, 0xa4, 0x01, 0x03, 0x03, 0x39, 0x01, 0x00, 0x20, 0x59), byte(size>>8), byte(size))
			data = append(append(data, bytes.Repeat([]byte{0xff}, size)...), 0x21, 0x43, 0x01, 0x00, 0x01)
			object = append(append([]byte{}, object[:head-2]...), 0x59)
			object = append(binary.BigEndian.AppendUint16(object, uint16(len(data))), data...)
			response["attestationObject"] = base64.RawURLEncoding.EncodeToString(object)
		}
		o, err := w.BeginRegistration(t.Context(), w.at(passkey.Register), w.user, w.handle, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = w.FinishRegistration(t.Context(), w.at(passkey.Register), o.State, key.Create(o.PublicKey), w.user, w.handle)
		if taken != (err == nil) || err != nil && !errors.Is(err, passkey.ErrRefused) {
			t.Errorf("a modulus of %d bytes: %v", size, err)
		}
	}
}
