package storecopy

import "crypto/sha256"

// Add adds the hash of a row.
func (s *Sum) Add(h [sha256.Size]byte) { s.add(h) }
