-- Usernames of accounts that were deleted or renamed: an app may still know somebody by one, so no stranger gets it. holder
-- is a hash of the person at a provider who may have it back, '' for nobody.

-- +goose Up
CREATE TABLE former_names (
	name_key TEXT /*key*/ NOT NULL,
	holder   TEXT /*key*/ NOT NULL,
	left_at  BIGINT NOT NULL,
	PRIMARY KEY (name_key, holder)
);
