-- Lists of any length: an index for each thing that people look for. Parts between "engine" marks are for one engine
-- alone; see docs/adr/0008-search.md.

-- +goose Up
CREATE INDEX identities_by_provider ON identities (provider, user_id);
CREATE INDEX users_local ON users (id) WHERE is_local = 1;
CREATE INDEX sessions_by_ip ON sessions (ip) WHERE ip <> '';
CREATE INDEX links_open_by_user ON links (user_id, created_at, id) WHERE used_at = 0 AND cancelled_at = 0;
CREATE INDEX events_by_ip ON events (ip, happened_at, id) WHERE ip <> '';
CREATE INDEX events_by_request ON events (request_id, happened_at, id) WHERE request_id <> '';

-- engine sqlite
-- FTS5 with trigrams finds any part of three characters or more. It keeps no copy of the texts, and what is deleted is
-- gone at once. Rows have numbers of their own: VACUUM may change those that SQLite gives by itself.
CREATE TABLE user_search_rows (
	num     INTEGER PRIMARY KEY,
	user_id TEXT NOT NULL UNIQUE
);
CREATE VIRTUAL TABLE user_search USING fts5 (
	search, group_names, content = '', tokenize = 'trigram case_sensitive 1'
);
INSERT INTO user_search (user_search, rank) VALUES ('secure-delete', 1);
INSERT INTO user_search_rows (user_id) SELECT id FROM users ORDER BY rowid;
INSERT INTO user_search (rowid, search, group_names)
	SELECT r.num, u.search, u.group_names FROM user_search_rows r JOIN users u ON u.id = r.user_id ORDER BY r.num;
-- +goose StatementBegin
CREATE TRIGGER user_search_insert AFTER INSERT ON users BEGIN
	INSERT INTO user_search_rows (user_id) VALUES (new.id);
	INSERT INTO user_search (rowid, search, group_names)
		SELECT num, new.search, new.group_names FROM user_search_rows WHERE user_id = new.id;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER user_search_update AFTER UPDATE ON users
WHEN new.search <> old.search OR new.group_names <> old.group_names BEGIN
	INSERT INTO user_search (user_search, rowid, search, group_names)
		SELECT 'delete', num, old.search, old.group_names FROM user_search_rows WHERE user_id = old.id;
	INSERT INTO user_search (rowid, search, group_names)
		SELECT num, new.search, new.group_names FROM user_search_rows WHERE user_id = old.id;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER user_search_delete AFTER DELETE ON users BEGIN
	INSERT INTO user_search (user_search, rowid, search, group_names)
		SELECT 'delete', num, old.search, old.group_names FROM user_search_rows WHERE user_id = old.id;
	DELETE FROM user_search_rows WHERE user_id = old.id;
END;
-- +goose StatementEnd
-- engine all

-- engine postgres
-- All parts of three characters, for an index that every role may make: the extension pg_trgm may not be there. The
-- cost keeps the planner from computing them for each row of the table.
-- +goose StatementBegin
CREATE FUNCTION gatehouse_grams(whole TEXT) RETURNS TEXT[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 10000 AS $$
	SELECT ARRAY(SELECT DISTINCT pg_catalog.substr(whole, i, 3) FROM pg_catalog.generate_series(1, pg_catalog.length(whole) - 2) AS i)
$$;
-- +goose StatementEnd
CREATE INDEX users_search_grams ON users USING gin (gatehouse_grams(search));
CREATE INDEX users_group_grams ON users USING gin (gatehouse_grams(group_names));
-- engine all
