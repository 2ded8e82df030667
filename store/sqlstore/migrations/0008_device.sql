-- Requests of programs for a token, which a person approves in a browser. An older version does not use them.

-- +goose Up
CREATE TABLE device_grants (
	id          TEXT /*key*/ NOT NULL PRIMARY KEY,
	device_hash TEXT /*key*/ NOT NULL,
	code_hash   TEXT /*key*/ NOT NULL,
	client      TEXT NOT NULL,
	hosts       TEXT NOT NULL,
	paths       TEXT NOT NULL,
	methods     TEXT NOT NULL,
	site        TEXT NOT NULL,
	origin      TEXT /*key*/ NOT NULL,
	ip          TEXT NOT NULL,
	created_at  BIGINT NOT NULL,
	expires_at  BIGINT NOT NULL,
	grant_state TEXT /*key*/ NOT NULL,
	user_id     TEXT /*key*/ NOT NULL,
	token_id    TEXT /*key*/ NOT NULL
);
CREATE UNIQUE INDEX device_grants_device_hash ON device_grants (device_hash);
CREATE UNIQUE INDEX device_grants_code_hash ON device_grants (code_hash);
CREATE INDEX device_grants_by_expiry ON device_grants (expires_at);
