package login

// Ways returns the tables that a recovery revokes.
func Ways() []string {
	names := make([]string, len(accessPaths))
	for i, w := range accessPaths {
		names[i] = w.table
	}
	return names
}
