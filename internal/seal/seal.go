// Package seal encrypts small values in the store: provider tokens and the data of a sign-in in progress. A single
// table or row that leaks reveals nothing, and a sealed value cannot be moved to another row or modified.
//
// The key is generated once per store and stored in its settings, so that every Caddy that shares the store can open
// what another one sealed, also after a restart. It protects against partial disclosure (a log, an export, one
// table), not against an attacker who has the whole database.
package seal

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/gatehouse-auth/gatehouse/store"
)

// ErrSealed means that the value was not sealed with this store's keys for this purpose and row, or was modified. It
// deliberately says no more.
var ErrSealed = errors.New("the sealed value cannot be opened")

// Store is the part of [store.Store] that a Sealer needs.
type Store interface {
	Setting(ctx context.Context, key string) (string, error)
	Change(ctx context.Context, fn func(tx store.Tx) error) error
}

// Sealer encrypts with a key of the store. It is safe for concurrent use.
type Sealer struct {
	store Store

	mu   sync.Mutex
	keys map[int]cipher.AEAD
}

// New returns a Sealer. It does not access the store yet.
func New(st Store) *Sealer { return &Sealer{store: st, keys: make(map[int]cipher.AEAD)} }

const (
	// first is the number of the first key. Values contain the number of their key, so that old ones can still be opened
	// after a rotation.
	first = 1
	// currentSetting holds the number of the key for new values, after a rotation.
	currentSetting = "seal.current"
	// format is the version with which a sealed value begins; the number of the key follows.
	format = "s1"
	// maxSealed bounds the values that are opened, in bytes.
	maxSealed = 256 << 10
)

func setting(key int) string { return "seal.key." + strconv.Itoa(key) }

// Seal encrypts plain for a purpose and a row. Open needs the same purpose and row.
func (s *Sealer) Seal(ctx context.Context, plain []byte, purpose, row string) (string, error) {
	n, err := current(ctx, s.store)
	if err != nil {
		return "", err
	}
	aead, err := s.key(ctx, n, n == first)
	if err != nil {
		return "", err
	}
	// The nonce of XChaCha20-Poly1305 is long enough to be random, however many values one key encrypts.
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	_, _ = rand.Read(nonce) // never fails (crypto/rand, Go 1.24)
	out := aead.Seal(nonce, nonce, plain, bind(purpose, row))
	return format + "." + strconv.Itoa(n) + "." + base64.RawURLEncoding.EncodeToString(out), nil
}

// Rotate generates a new key for new values and returns its number. Every process that shares the store uses it from
// the next value on; older values can still be opened.
func (s *Sealer) Rotate(ctx context.Context) (int, error) {
	n := 0
	err := s.store.Change(ctx, func(tx store.Tx) (err error) {
		if n, err = current(ctx, tx); err != nil {
			return err
		}
		for fresh, stored := store.NewToken(), ""; stored != fresh; {
			n++ // after all existing keys, as overwriting one would make its values unreadable
			if stored, err = tx.SetSettingOnce(ctx, setting(n), fresh); err != nil {
				return err
			}
		}
		return tx.SetSetting(ctx, currentSetting, strconv.Itoa(n))
	})
	if err != nil {
		return 0, fmt.Errorf("making a new key: %w", err)
	}
	return n, nil
}

// current returns the number of the key for new values. It is not cached: after a rotation by another process this
// one would continue to use the old key.
func current(ctx context.Context, r interface {
	Setting(ctx context.Context, key string) (string, error)
},
) (int, error) {
	text, err := r.Setting(ctx, currentSetting)
	if errors.Is(err, store.ErrNotFound) {
		return first, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading which key seals: %w", err)
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < first || strconv.Itoa(n) != text {
		return 0, fmt.Errorf("the setting %s in the store is damaged: delete it, "+
			"and run \"caddy gatehouse store rotate-keys\"", currentSetting)
	}
	return n, nil
}

// Open decrypts a value sealed for that purpose and row. An error that matches [ErrSealed] is final; any other one is
// technical.
func (s *Sealer) Open(ctx context.Context, sealed, purpose, row string) ([]byte, error) {
	head, rest, _ := strings.Cut(sealed, ".")
	number, body, ok := strings.Cut(rest, ".")
	n, err := strconv.Atoi(number)
	if !ok || head != format || err != nil || n < 1 || strconv.Itoa(n) != number || len(sealed) > maxSealed {
		return nil, ErrSealed
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil {
		return nil, ErrSealed
	}
	aead, err := s.key(ctx, n, false)
	if err != nil {
		return nil, err
	}
	if len(b) < aead.NonceSize()+aead.Overhead() {
		return nil, ErrSealed
	}
	plain, err := aead.Open(nil, b[:aead.NonceSize()], b[aead.NonceSize():], bind(purpose, row))
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

// bind returns the additional data. The length makes ("ab", "c") and ("a", "bc") different.
func bind(purpose, row string) []byte {
	return []byte(strconv.Itoa(len(purpose)) + ":" + purpose + row)
}

// key returns a key of the store. With create it is generated if it does not exist.
func (s *Sealer) key(ctx context.Context, n int, create bool) (cipher.AEAD, error) {
	s.mu.Lock()
	aead := s.keys[n]
	s.mu.Unlock()
	if aead != nil {
		return aead, nil
	}
	text, err := s.store.Setting(ctx, setting(n))
	switch {
	case errors.Is(err, store.ErrNotFound) && !create:
		return nil, ErrSealed
	case errors.Is(err, store.ErrNotFound):
		err = s.store.Change(ctx, func(tx store.Tx) (err error) {
			text, err = tx.SetSettingOnce(ctx, setting(n), store.NewToken())
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("reading the key that seals provider tokens: %w", err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) != chacha20poly1305.KeySize {
		return nil, fmt.Errorf("the setting %s in the store is damaged: delete it, and people sign in once more", setting(n))
	}
	if aead, err = chacha20poly1305.NewX(raw); err != nil {
		return nil, fmt.Errorf("using the key that seals provider tokens: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[n] = aead
	return aead, nil
}
