-- Service accounts, and the tokens of programs. All statements are additive: an older version keeps working during an
-- update.

-- +goose Up
ALTER TABLE users ADD COLUMN kind TEXT NOT NULL DEFAULT 'person';
CREATE INDEX users_service_by_username ON users (username_key) WHERE kind = 'service';
CREATE INDEX users_service_by_email ON users (email_key, id) WHERE kind = 'service';
CREATE INDEX users_service_by_created ON users (created_at, id) WHERE kind = 'service';
CREATE INDEX users_service_by_last_login ON users (last_login_at, id) WHERE kind = 'service';

-- expires_at 0: never. expiry_noted: the expiry is in the audit log.
CREATE TABLE tokens (
	id           TEXT /*key*/ NOT NULL PRIMARY KEY,
	token_hash   TEXT /*key*/ NOT NULL,
	user_id      TEXT /*key*/ NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	token_name   TEXT NOT NULL,
	hint         TEXT NOT NULL,
	hosts        TEXT NOT NULL,
	paths        TEXT NOT NULL,
	methods      TEXT NOT NULL,
	level        TEXT NOT NULL,
	provider     TEXT NOT NULL,
	issuer       TEXT /*key*/ NOT NULL,
	subject      TEXT /*key*/ NOT NULL,
	claims       TEXT NOT NULL,
	created_by   TEXT NOT NULL,
	created_at   BIGINT NOT NULL,
	expires_at   BIGINT NOT NULL,
	replaced_by  TEXT /*key*/ NOT NULL,
	expiry_noted INTEGER NOT NULL,
	last_used_at BIGINT NOT NULL,
	last_used_ip TEXT NOT NULL
);
CREATE UNIQUE INDEX tokens_token_hash ON tokens (token_hash);
CREATE INDEX tokens_by_user ON tokens (user_id, created_at, id);
CREATE INDEX tokens_by_created ON tokens (created_at, id);
CREATE INDEX tokens_by_expiry ON tokens (expires_at) WHERE expires_at > 0;
CREATE INDEX tokens_expired ON tokens (expires_at) WHERE expires_at > 0 AND expiry_noted = 0 AND replaced_by = '';
CREATE INDEX tokens_replaced ON tokens (replaced_by) WHERE replaced_by <> '';
CREATE INDEX tokens_by_identity ON tokens (issuer, subject) WHERE issuer <> '';
