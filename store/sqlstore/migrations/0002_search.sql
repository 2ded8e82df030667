-- Indexes for searches in long lists. Sections between "engine" marks are for one engine only; see docs/adr/0008-search.md.

-- +goose Up
CREATE INDEX identities_by_provider ON identities (provider, user_id);
CREATE INDEX users_local ON users (id) WHERE is_local = 1;
CREATE INDEX sessions_by_ip ON sessions (ip) WHERE ip <> '';
CREATE INDEX links_open_by_user ON links (user_id, created_at, id) WHERE used_at = 0 AND cancelled_at = 0;
CREATE INDEX events_by_ip ON events (ip, happened_at, id) WHERE ip <> '';
CREATE INDEX events_by_request ON events (request_id, happened_at, id) WHERE request_id <> '';

-- engine sqlite
-- FTS5 with trigrams finds any substring of three characters or more. It stores no copy of the texts, and deletions are
-- immediate. Rows have explicit numbers, since VACUUM may change SQLite's implicit rowids.
CREATE TABLE user_search_rows (
	num     INTEGER PRIMARY KEY,
	user_id TEXT NOT NULL UNIQUE
);
CREATE VIRTUAL TABLE user_search USING fts5 (search, content = '', tokenize = 'trigram case_sensitive 1');
INSERT INTO user_search (user_search, rank) VALUES ('secure-delete', 1);
CREATE TABLE user_search_groups (
	name    TEXT NOT NULL,
	user_id TEXT NOT NULL,
	PRIMARY KEY (name, user_id)
) WITHOUT ROWID;
INSERT INTO user_search_rows (user_id) SELECT id FROM users ORDER BY rowid;
INSERT INTO user_search (rowid, search)
	SELECT r.num, u.search FROM user_search_rows r JOIN users u ON u.id = r.user_id ORDER BY r.num;
INSERT OR IGNORE INTO user_search_groups (name, user_id)
	SELECT g.value, u.id FROM users u, json_each(CASE WHEN json_valid(u.group_names) THEN u.group_names ELSE '[]' END) g
	WHERE g.type = 'text';
-- +goose StatementBegin
CREATE TRIGGER user_search_insert AFTER INSERT ON users BEGIN
	INSERT INTO user_search_rows (user_id) VALUES (new.id);
	INSERT INTO user_search (rowid, search) SELECT num, new.search FROM user_search_rows WHERE user_id = new.id;
	INSERT OR IGNORE INTO user_search_groups (name, user_id)
		SELECT value, new.id FROM json_each(CASE WHEN json_valid(new.group_names) THEN new.group_names ELSE '[]' END)
		WHERE type = 'text';
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER user_search_update AFTER UPDATE ON users WHEN new.search <> old.search BEGIN
	INSERT INTO user_search (user_search, rowid, search)
		SELECT 'delete', num, old.search FROM user_search_rows WHERE user_id = old.id;
	INSERT INTO user_search (rowid, search) SELECT num, new.search FROM user_search_rows WHERE user_id = old.id;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER user_search_regroup AFTER UPDATE ON users WHEN new.group_names <> old.group_names BEGIN
	DELETE FROM user_search_groups WHERE user_id = old.id AND name IN (SELECT value
		FROM json_each(CASE WHEN json_valid(old.group_names) THEN old.group_names ELSE '[]' END) WHERE type = 'text');
	INSERT OR IGNORE INTO user_search_groups (name, user_id)
		SELECT value, new.id FROM json_each(CASE WHEN json_valid(new.group_names) THEN new.group_names ELSE '[]' END)
		WHERE type = 'text';
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER user_search_delete AFTER DELETE ON users BEGIN
	INSERT INTO user_search (user_search, rowid, search)
		SELECT 'delete', num, old.search FROM user_search_rows WHERE user_id = old.id;
	DELETE FROM user_search_rows WHERE user_id = old.id;
	DELETE FROM user_search_groups WHERE user_id = old.id AND name IN (SELECT value
		FROM json_each(CASE WHEN json_valid(old.group_names) THEN old.group_names ELSE '[]' END) WHERE type = 'text');
END;
-- +goose StatementEnd
-- engine all

-- engine postgres
-- Trigrams as arrays, which every role may index: the extension pg_trgm may not be available. They are stored, since
-- computing them for each checked row takes far longer than comparing them. The text is split once, since substr scans
-- all characters before the n-th one.
-- +goose StatementBegin
CREATE FUNCTION gatehouse_grams(whole TEXT) RETURNS TEXT[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
	SELECT ARRAY(SELECT DISTINCT g.gram COLLATE "C" FROM (
		SELECT c.one || pg_catalog.lead(c.one) OVER w || pg_catalog.lead(c.one, 2) OVER w AS gram
		FROM pg_catalog.unnest(pg_catalog.string_to_array(whole, NULL)) WITH ORDINALITY AS c (one, n) WINDOW w AS (ORDER BY c.n)
	) AS g WHERE g.gram IS NOT NULL)
$$;
-- +goose StatementEnd
-- Complete group names, none of a malformed list. An index key has to fit into a third of a page, and a user who could
-- not be indexed could not sign in, so longer names are truncated.
-- +goose StatementBegin
CREATE FUNCTION gatehouse_groups(list TEXT) RETURNS TEXT[] LANGUAGE plpgsql STABLE STRICT AS $$
BEGIN
	RETURN ARRAY(SELECT DISTINCT pg_catalog.left(m.member #>> '{}', 254) FROM pg_catalog.jsonb_array_elements(list::jsonb) AS m (member)
		WHERE pg_catalog.jsonb_typeof(m.member) = 'string');
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
	RETURN '{}';
END
$$;
-- +goose StatementEnd
CREATE TABLE user_search (
	user_id     TEXT /*key*/ NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
	search      TEXT[] /*key*/ NOT NULL,
	group_names TEXT[] /*key*/ NOT NULL
);
INSERT INTO user_search (user_id, search, group_names)
	SELECT id, gatehouse_grams(search), gatehouse_groups(group_names) FROM users;
CREATE INDEX user_search_search ON user_search USING gin (search);
CREATE INDEX user_search_group_names ON user_search USING gin (group_names);
-- +goose StatementBegin
CREATE FUNCTION gatehouse_user_search() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO user_search (user_id, search, group_names)
		VALUES (NEW.id, gatehouse_grams(NEW.search), gatehouse_groups(NEW.group_names))
		ON CONFLICT (user_id) DO UPDATE SET search = excluded.search, group_names = excluded.group_names;
	RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER user_search_insert AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION gatehouse_user_search();
CREATE TRIGGER user_search_update AFTER UPDATE ON users FOR EACH ROW
	WHEN (NEW.search <> OLD.search OR NEW.group_names <> OLD.group_names) EXECUTE FUNCTION gatehouse_user_search();
-- engine all
