-- Attempts of a client are counted in fixed windows. tat is now the end of the window, which is also valid for an older
-- version that runs during an update and reads it as theoretical arrival time.

-- +goose Up
ALTER TABLE throttle_buckets ADD COLUMN used BIGINT NOT NULL DEFAULT 0;
