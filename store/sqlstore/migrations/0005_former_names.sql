-- Usernames of deleted or renamed accounts: an app may still grant access to the name, so no other account gets it.
-- holder is a hash of the identity that may get it back, '' for none.

-- +goose Up
CREATE TABLE former_names (
	name_key TEXT /*key*/ NOT NULL,
	holder   TEXT /*key*/ NOT NULL,
	left_at  BIGINT NOT NULL,
	PRIMARY KEY (name_key, holder)
);
