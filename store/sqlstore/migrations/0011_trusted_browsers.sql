-- Browsers in which a second factor need not be proved again. All statements are additive: an older version keeps
-- working during an update, and always asks.

-- +goose Up
-- trust_mark: what the trust was given on, see trustMark: it ends also by what an older version changes. mfa_at: when
-- the factor was proved.
CREATE TABLE trusted_browsers (
	trust_hash TEXT /*key*/ NOT NULL PRIMARY KEY,
	id         TEXT /*key*/ NOT NULL,
	user_id    TEXT /*key*/ NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	trust_mark TEXT NOT NULL,
	mfa_at     BIGINT NOT NULL,
	created_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	seen_at    BIGINT NOT NULL,
	ip         TEXT NOT NULL,
	user_agent TEXT NOT NULL
);
CREATE UNIQUE INDEX trusted_browsers_id ON trusted_browsers (id);
CREATE INDEX trusted_browsers_by_user ON trusted_browsers (user_id, created_at, id);
CREATE INDEX trusted_browsers_by_expiry ON trusted_browsers (expires_at);

-- Sessions that stand on such trust, which are few: see takeTrust.
CREATE INDEX sessions_trusted ON sessions (user_id) WHERE methods LIKE '%trusted%';
