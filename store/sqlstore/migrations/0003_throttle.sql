-- Attempts of one client are counted in periods. tat, which was when a bucket is full again, is the end of the period, as
-- the older version that runs beside this one during an update reads it, too.

-- +goose Up
ALTER TABLE throttle_buckets ADD COLUMN used BIGINT NOT NULL DEFAULT 0;
