package login

// Ways returns the tables that a recovery goes through.
func Ways() []string {
	names := make([]string, len(ways))
	for i, w := range ways {
		names[i] = w.table
	}
	return names
}
