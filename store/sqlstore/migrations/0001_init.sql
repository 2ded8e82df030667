-- One text for both engines: TEXT, BIGINT and INTEGER only. Times are milliseconds since 1970 (0: never), booleans
-- 0 or 1, lists and maps JSON text. PostgreSQL compares columns with the key mark bytewise (COLLATE "C"), like SQLite:
-- a collation that changes with the system's locale data would break the unique indexes on names.

-- +goose Up
CREATE TABLE users (
	id                  TEXT /*key*/ NOT NULL PRIMARY KEY,
	username            TEXT NOT NULL,
	username_key        TEXT /*key*/ NOT NULL,
	email               TEXT NOT NULL,
	email_key           TEXT /*key*/ NOT NULL,
	email_verified      INTEGER NOT NULL,
	display_name        TEXT NOT NULL,
	search              TEXT /*key*/ NOT NULL,
	role                TEXT /*key*/ NOT NULL,
	role_granted        INTEGER NOT NULL,
	group_names         TEXT NOT NULL,
	active              INTEGER NOT NULL,
	pending             INTEGER NOT NULL,
	managed             INTEGER NOT NULL,
	is_local            INTEGER NOT NULL,
	origin              TEXT NOT NULL,
	password_hash       TEXT NOT NULL,
	must_change         INTEGER NOT NULL,
	password_changed_at BIGINT NOT NULL,
	epoch               BIGINT NOT NULL,
	version             BIGINT NOT NULL,
	created_at          BIGINT NOT NULL,
	updated_at          BIGINT NOT NULL,
	last_login_at       BIGINT NOT NULL
);
CREATE UNIQUE INDEX users_username_key ON users (username_key);
CREATE UNIQUE INDEX users_email_key_local ON users (email_key) WHERE is_local = 1 AND email_key <> '';
CREATE INDEX users_by_email ON users (email_key, id);
CREATE INDEX users_by_created ON users (created_at, id);
CREATE INDEX users_by_last_login ON users (last_login_at, id);
-- Partial indexes for selective filters, one for each order.
CREATE INDEX users_admin_by_username ON users (username_key) WHERE role = 'admin';
CREATE INDEX users_admin_by_email ON users (email_key, id) WHERE role = 'admin';
CREATE INDEX users_admin_by_created ON users (created_at, id) WHERE role = 'admin';
CREATE INDEX users_admin_by_last_login ON users (last_login_at, id) WHERE role = 'admin';
CREATE INDEX users_pending_by_username ON users (username_key) WHERE pending = 1;
CREATE INDEX users_pending_by_email ON users (email_key, id) WHERE pending = 1;
CREATE INDEX users_pending_by_created ON users (created_at, id) WHERE pending = 1;
CREATE INDEX users_pending_by_last_login ON users (last_login_at, id) WHERE pending = 1;
CREATE INDEX users_inactive_by_username ON users (username_key) WHERE active = 0;
CREATE INDEX users_inactive_by_email ON users (email_key, id) WHERE active = 0;
CREATE INDEX users_inactive_by_created ON users (created_at, id) WHERE active = 0;
CREATE INDEX users_inactive_by_last_login ON users (last_login_at, id) WHERE active = 0;
CREATE INDEX users_never_by_username ON users (username_key) WHERE last_login_at <= 0;
CREATE INDEX users_never_by_email ON users (email_key, id) WHERE last_login_at <= 0;
CREATE INDEX users_never_by_created ON users (created_at, id) WHERE last_login_at <= 0;

CREATE TABLE sessions (
	id           TEXT /*key*/ NOT NULL PRIMARY KEY,
	token_hash   TEXT /*key*/ NOT NULL,
	user_id      TEXT /*key*/ NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	epoch        BIGINT NOT NULL,
	created_at   BIGINT NOT NULL,
	auth_at      BIGINT NOT NULL,
	last_seen_at BIGINT NOT NULL,
	idle_ms      BIGINT NOT NULL,
	expires_at   BIGINT NOT NULL,
	over_at      BIGINT NOT NULL,
	remember     INTEGER NOT NULL,
	method       TEXT NOT NULL,
	provider     TEXT NOT NULL,
	issuer       TEXT /*key*/ NOT NULL,
	subject      TEXT /*key*/ NOT NULL,
	sid          TEXT /*key*/ NOT NULL,
	sealed       TEXT NOT NULL,
	ip           TEXT /*key*/ NOT NULL,
	user_agent   TEXT NOT NULL,
	host         TEXT NOT NULL,
	search       TEXT /*key*/ NOT NULL
);
CREATE UNIQUE INDEX sessions_token_hash ON sessions (token_hash);
CREATE INDEX sessions_by_user ON sessions (user_id, last_seen_at, id);
-- A covering index for the list and its search, so that a search does not read the rows.
CREATE INDEX sessions_by_last_seen ON sessions (last_seen_at, id, over_at, search);
CREATE INDEX sessions_by_over ON sessions (over_at);
CREATE INDEX sessions_by_subject ON sessions (issuer, subject) WHERE issuer <> '';
CREATE INDEX sessions_by_sid ON sessions (issuer, sid) WHERE sid <> '';

CREATE TABLE identities (
	issuer        TEXT /*key*/ NOT NULL,
	subject       TEXT /*key*/ NOT NULL,
	user_id       TEXT /*key*/ NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	provider      TEXT /*key*/ NOT NULL,
	email         TEXT NOT NULL,
	display_name  TEXT NOT NULL,
	group_names   TEXT NOT NULL,
	created_at    BIGINT NOT NULL,
	last_login_at BIGINT NOT NULL,
	PRIMARY KEY (issuer, subject)
);
CREATE INDEX identities_by_user ON identities (user_id, provider);

CREATE TABLE links (
	id           TEXT /*key*/ NOT NULL PRIMARY KEY,
	token_hash   TEXT /*key*/ NOT NULL,
	purpose      TEXT /*key*/ NOT NULL,
	user_id      TEXT /*key*/ NOT NULL,
	created_by   TEXT NOT NULL,
	end_sessions INTEGER NOT NULL,
	created_at   BIGINT NOT NULL,
	expires_at   BIGINT NOT NULL,
	used_at      BIGINT NOT NULL,
	cancelled_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX links_token_hash ON links (token_hash);
CREATE INDEX links_by_user ON links (user_id);
CREATE INDEX links_by_expiry ON links (expires_at);
CREATE INDEX links_open ON links (created_at, id) WHERE used_at = 0 AND cancelled_at = 0;

CREATE TABLE flows (
	state_hash   TEXT /*key*/ NOT NULL PRIMARY KEY,
	browser_hash TEXT NOT NULL,
	provider     TEXT NOT NULL,
	user_id      TEXT /*key*/ NOT NULL,
	purpose      TEXT NOT NULL,
	data         TEXT NOT NULL,
	created_at   BIGINT NOT NULL,
	expires_at   BIGINT NOT NULL
);
CREATE INDEX flows_by_user ON flows (user_id) WHERE user_id <> '';
CREATE INDEX flows_by_expiry ON flows (expires_at);

CREATE TABLE devices (
	device_hash TEXT /*key*/ NOT NULL,
	user_id     TEXT /*key*/ NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	seen_at     BIGINT NOT NULL,
	expires_at  BIGINT NOT NULL,
	PRIMARY KEY (device_hash, user_id)
);
CREATE INDEX devices_by_user ON devices (user_id);
CREATE INDEX devices_by_expiry ON devices (expires_at);

CREATE TABLE once_values (
	kind       TEXT /*key*/ NOT NULL,
	value_key  TEXT /*key*/ NOT NULL,
	expires_at BIGINT NOT NULL,
	PRIMARY KEY (kind, value_key)
);
CREATE INDEX once_values_by_expiry ON once_values (expires_at);

-- tat: the "theoretical arrival time" of GCRA, in microseconds, as a rate of many per second needs them.
CREATE TABLE throttle_buckets (
	bucket TEXT /*key*/ NOT NULL PRIMARY KEY,
	tat    BIGINT NOT NULL
);
CREATE INDEX throttle_buckets_by_tat ON throttle_buckets (tat);

CREATE TABLE throttle_attempts (
	account    TEXT /*key*/ NOT NULL PRIMARY KEY,
	failures   BIGINT NOT NULL,
	wait_until BIGINT NOT NULL,
	last_at    BIGINT NOT NULL
);
CREATE INDEX throttle_attempts_by_last ON throttle_attempts (last_at);

CREATE TABLE events (
	id           TEXT /*key*/ NOT NULL PRIMARY KEY,
	happened_at  BIGINT NOT NULL,
	actor_id     TEXT /*key*/ NOT NULL,
	actor        TEXT NOT NULL,
	actor_key    TEXT /*key*/ NOT NULL,
	action       TEXT /*key*/ NOT NULL,
	action_group TEXT /*key*/ NOT NULL,
	target_id    TEXT /*key*/ NOT NULL,
	target       TEXT NOT NULL,
	outcome      TEXT /*key*/ NOT NULL,
	ip           TEXT NOT NULL,
	user_agent   TEXT NOT NULL,
	request_id   TEXT NOT NULL,
	details      TEXT NOT NULL,
	search       TEXT /*key*/ NOT NULL
);
CREATE INDEX events_by_time ON events (happened_at, id);
CREATE INDEX events_by_actor_id ON events (actor_id, happened_at, id) WHERE actor_id <> '';
CREATE INDEX events_by_target_id ON events (target_id, happened_at, id) WHERE target_id <> '';
CREATE INDEX events_by_actor ON events (actor_key, happened_at, id);
CREATE INDEX events_by_action ON events (action, happened_at, id);
CREATE INDEX events_by_action_group ON events (action_group, happened_at, id);
CREATE INDEX events_by_outcome ON events (outcome, happened_at, id);

CREATE TABLE settings (
	name  TEXT /*key*/ NOT NULL PRIMARY KEY,
	value TEXT NOT NULL
);

-- Committed changes in commit order, for the other processes that share the store.
CREATE TABLE changes (
	seq     BIGINT NOT NULL PRIMARY KEY,
	kind    TEXT NOT NULL,
	subject TEXT NOT NULL,
	origin  TEXT NOT NULL,
	at      BIGINT NOT NULL
);
CREATE INDEX changes_by_time ON changes (at);

-- A single row with the sequence number of the last change. PostgreSQL also locks it to run changes one at a time.
CREATE TABLE change_counter (
	id  INTEGER NOT NULL PRIMARY KEY,
	seq BIGINT NOT NULL
);
INSERT INTO change_counter (id, seq) VALUES (1, 0);
