-- Names are folded by Unicode's toNFKC_Casefold, so that invisible characters do not make names different. refold.go
-- recomputes the stored keys in the transaction of this migration.

-- +goose Up
UPDATE change_counter SET seq = seq WHERE id = 1;
