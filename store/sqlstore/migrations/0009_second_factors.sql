-- Second factors. All statements are additive: an older version keeps working during an update, and asks for none. What
-- it writes to sessions has the level of one factor.

-- +goose Up
-- totp_count is the number of confirmed authenticator apps, kept with them, so that a sign-in and a list need no other
-- table; passkey_count is that of passkeys.
ALTER TABLE users ADD COLUMN totp_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN passkey_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN ask_second_factor INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN mfa_due_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN mfa_failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN codes_saved INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN notices_seen_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX users_with_mfa ON users (id) WHERE totp_count + passkey_count > 0;
CREATE INDEX users_without_mfa ON users (id) WHERE totp_count + passkey_count = 0 AND kind = 'person';

-- methods '': a session of an older version, which knew one factor only.
ALTER TABLE sessions ADD COLUMN methods TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN mfa_at BIGINT NOT NULL DEFAULT 0;

-- secret: sealed. confirmed_at 0: not confirmed. last_step: time step of the last code that was accepted.
CREATE TABLE totps (
	id           TEXT /*key*/ NOT NULL PRIMARY KEY,
	user_id      TEXT /*key*/ NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	totp_name    TEXT NOT NULL,
	secret       TEXT NOT NULL,
	created_at   BIGINT NOT NULL,
	confirmed_at BIGINT NOT NULL,
	last_used_at BIGINT NOT NULL,
	last_step    BIGINT NOT NULL
);
CREATE INDEX totps_by_user ON totps (user_id, created_at, id);
CREATE INDEX totps_unconfirmed ON totps (created_at) WHERE confirmed_at = 0;

CREATE TABLE recovery_codes (
	code_hash TEXT /*key*/ NOT NULL PRIMARY KEY,
	user_id   TEXT /*key*/ NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	made_at   BIGINT NOT NULL,
	used_at   BIGINT NOT NULL
);
CREATE INDEX recovery_codes_by_user ON recovery_codes (user_id);

-- Sign-ins whose first step is done. browser: hash of the known browser, '' for one that is not known. data: sealed.
CREATE TABLE half_logins (
	id            TEXT /*key*/ NOT NULL PRIMARY KEY,
	half_hash     TEXT /*key*/ NOT NULL,
	user_id       TEXT /*key*/ NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	purpose       TEXT /*key*/ NOT NULL,
	browser       TEXT /*key*/ NOT NULL,
	epoch         BIGINT NOT NULL,
	password_mark TEXT NOT NULL,
	host          TEXT NOT NULL,
	data          TEXT NOT NULL,
	created_at    BIGINT NOT NULL,
	expires_at    BIGINT NOT NULL
);
CREATE UNIQUE INDEX half_logins_half_hash ON half_logins (half_hash);
CREATE INDEX half_logins_by_user ON half_logins (user_id, browser, created_at, id);
CREATE INDEX half_logins_by_expiry ON half_logins (expires_at);
