-- Provided roles and groups are stored separately from granted ones, and a session stores the claims of its own sign-in,
-- so that rights end with the provider that gave them. All statements are additive: an older version keeps working during
-- an update. Malformed groups count as granted, as before.

-- +goose Up
ALTER TABLE users ADD COLUMN role_provided INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN provided_groups TEXT NOT NULL DEFAULT '[]';
ALTER TABLE sessions ADD COLUMN claims TEXT NOT NULL DEFAULT '';

UPDATE users SET role_provided = 1 WHERE role = 'admin' AND role_granted = 0 AND managed = 0
	AND (origin = 'oidc' OR EXISTS (SELECT 1 FROM identities i WHERE i.user_id = users.id));

-- engine sqlite
UPDATE users SET provided_groups = (
	SELECT json_group_array(g.value) FROM (
		SELECT DISTINCT j.value FROM identities i, json_each(CASE WHEN json_valid(i.group_names) THEN i.group_names ELSE '[]' END) j
		WHERE i.user_id = users.id AND j.type = 'text') g)
	WHERE EXISTS (SELECT 1 FROM identities i WHERE i.user_id = users.id AND i.group_names <> '[]');
-- engine postgres
UPDATE users SET provided_groups = coalesce((
	SELECT json_agg(DISTINCT j.value)::text FROM identities i,
		(SELECT '"([^"\\[:cntrl:]]|\\["\\/bfnrt]|\\u(?!0000|[dD][89a-fA-F])[0-9a-fA-F]{4})*"'::text AS text) t, json_array_elements_text(
		CASE WHEN i.group_names ~ ('^\[(' || t.text || '(,' || t.text || ')*)?\]$') THEN i.group_names::json ELSE '[]'::json END) j(value)
	WHERE i.user_id = users.id), '[]')
	WHERE EXISTS (SELECT 1 FROM identities i WHERE i.user_id = users.id AND i.group_names <> '[]');
-- engine all

-- Existing sessions have no claims: the stored values had been cleaned and truncated, and prove nothing. They do not
-- count, and their users sign in again.

-- Further issuers, subjects and session ids of a session: a back-channel logout by any of them ends it.
CREATE TABLE session_sids (
	session_id TEXT /*key*/ NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
	issuer     TEXT /*key*/ NOT NULL,
	subject    TEXT /*key*/ NOT NULL,
	sid        TEXT /*key*/ NOT NULL,
	PRIMARY KEY (session_id, issuer, subject, sid)
);
CREATE INDEX session_sids_by_subject ON session_sids (issuer, subject);
CREATE INDEX session_sids_by_sid ON session_sids (issuer, sid) WHERE sid <> '';
