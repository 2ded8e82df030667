package account

import (
	"strconv"

	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/store"
)

// describeUser adds the fields of an account to an event. They include no secret.
func describeUser(e *store.Event, when string, u store.User) {
	for k, v := range auditFields(u) {
		e.Details[when+"."+k] = v
	}
}

// describeChanges adds the changed fields to an event, and reports whether there are any.
func describeChanges(e *store.Event, before, after store.User) bool {
	changed := false
	old, fresh := auditFields(before), auditFields(after)
	for k := range fresh {
		if old[k] != fresh[k] {
			e.Details["before."+k], e.Details["after."+k] = old[k], fresh[k]
			changed = true
		}
	}
	return changed
}

// auditFields are the fields that an administrator can change.
func auditFields(u store.User) map[string]string {
	return map[string]string{
		"username": u.Username, "email": u.Email, "name": u.Name, "role": string(u.Role),
		"groups": identifier.JoinGroups(u.Groups, ","), "active": strconv.FormatBool(u.Active),
		"pending":        strconv.FormatBool(u.Pending),
		"role_granted":   strconv.FormatBool(u.RoleGranted),
		"email_verified": strconv.FormatBool(u.EmailVerified),
	}
}
