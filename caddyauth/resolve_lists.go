package caddyauth

import "fmt"

// repeated refuses a list that holds a value twice. Values are the same when key returns the same for them.
func repeated[T any](option string, list []T, key func(T) string) error {
	seen := make(map[string]bool)
	for _, v := range list {
		k := key(v)
		if seen[k] {
			return fmt.Errorf("%s: %q is given twice", option, k)
		}
		seen[k] = true
	}
	return nil
}

// same is the key of values that compare as they are.
func same(s string) string { return s }
