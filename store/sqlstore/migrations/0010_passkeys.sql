-- Passkeys (WebAuthn). All statements are additive: an older version keeps working during an update, and knows none.

-- +goose Up
-- webauthn_handle: 64 random bytes, base64url; '' until the first passkey is begun.
ALTER TABLE users ADD COLUMN webauthn_handle TEXT NOT NULL DEFAULT '';

-- credential_id, public_key: base64url. uv, counter_back: see store.PasskeyState.
CREATE TABLE passkeys (
	id              TEXT /*key*/ NOT NULL PRIMARY KEY,
	user_id         TEXT /*key*/ NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	rp_id           TEXT /*key*/ NOT NULL,
	credential_id   TEXT /*key*/ NOT NULL,
	public_key      TEXT NOT NULL,
	aaguid          TEXT NOT NULL,
	sign_count      BIGINT NOT NULL,
	uv              INTEGER NOT NULL,
	backup_eligible INTEGER NOT NULL,
	backed_up       INTEGER NOT NULL,
	counter_back    INTEGER NOT NULL,
	discoverable    TEXT NOT NULL,
	transports      TEXT NOT NULL,
	attachment      TEXT NOT NULL,
	passkey_name    TEXT NOT NULL,
	created_at      BIGINT NOT NULL,
	last_used_at    BIGINT NOT NULL
);
CREATE UNIQUE INDEX passkeys_credential ON passkeys (rp_id, credential_id);
CREATE INDEX passkeys_by_user ON passkeys (user_id, created_at, id);
