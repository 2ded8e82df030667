package assertion

// ReadBeforePoll reports whether a poll of the store has finished that began after the keys were read.
func ReadBeforePoll(k *Keys) bool {
	l := k.known.Load()
	return l != nil && l.readAt < k.syncedAt.Load()
}
