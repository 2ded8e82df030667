package oidc

import "strings"

// subjectPrefix begins the subjects of identities that are known by another claim than sub. No sub can begin with it,
// so whoever has the same value in both is not taken for one person.
const subjectPrefix = "claim:"

// claimNames keeps the name of a claim apart from the value that follows it.
var claimNames = strings.NewReplacer("%", "%25", "=", "%3D")

// qualifySubject returns the subject of an identity that is known by a claim; "" is sub.
func qualifySubject(claim, value string) string {
	if claim == "" || claim == "sub" || value == "" {
		return value
	}
	return subjectPrefix + claimNames.Replace(claim) + "=" + value
}

// BareSubject returns the value of the claim that an identity is known by.
func BareSubject(subject string) string {
	if rest, ok := strings.CutPrefix(subject, subjectPrefix); ok {
		if _, value, ok := strings.Cut(rest, "="); ok {
			return value
		}
	}
	return subject
}

// validSub reports whether a sub can be that of a person.
func validSub(sub string) bool {
	return sub != "" && len(sub) <= maxSubject && plainText(sub) && !strings.HasPrefix(sub, subjectPrefix)
}
