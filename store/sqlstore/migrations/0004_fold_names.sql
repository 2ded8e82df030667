-- Names are folded as Unicode's toNFKC_Casefold does, so that what nobody sees tells no name from another. The keys that
-- are kept are folded again by refold.go, in the transaction of this migration.

-- +goose Up
UPDATE change_counter SET seq = seq WHERE id = 1;
