// Package portal is the JSON API of one's own account, and the shapes of the JSON API that others use.
package portal
