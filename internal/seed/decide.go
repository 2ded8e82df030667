package seed

import (
	"fmt"
	"strings"

	"github.com/gatehouse-auth/gatehouse/store"
)

// Actions of a [Result].
const (
	ActionNone    = "none"    // nothing was written
	ActionCreated = "created" // an administrator was created
	ActionUpdated = "updated" // an account became the administrator, or got the password, or both
	// ActionReleased means that accounts are no longer managed by the deployment; nothing else was written.
	ActionReleased = "released"
)

// computed caches all slow results, so that the decision itself is quick and pure.
type computed struct {
	same         map[string]bool   // by stored hash: whether it matches the password
	fingerprints map[string]string // by salt
	newSalt      string            // for a store without one
	hash         string            // of the password
}

// plan describes what a start does.
type plan struct {
	edits    []edit
	record   bool   // recordForce that these values were applied by force
	salt     string // with record: the salt of the fingerprint
	warnings []string
	notes    []string
	ignored  string      // why the password in the environment is not used; "" if it is
	compare  *store.User // warn that the password is ignored if it is not this user's
	admin    *store.User // the existing administrator, or nil
	setup    bool        // there is no administrator and no password to create one

	// What has to be computed before the plan is complete. An incomplete plan does nothing.
	needSame        string // whether this stored hash matches the password
	needFingerprint string // with this salt
}

// incomplete reports whether something has to be computed first.
func (p plan) incomplete() bool { return p.needSame != "" || p.needFingerprint != "" }

// writes reports whether the plan changes the store.
func (p plan) writes() bool { return len(p.edits) > 0 || p.record }

// setsPassword reports whether a hash of the password is needed.
func (p plan) setsPassword() bool {
	for _, e := range p.edits {
		if e.password {
			return true
		}
	}
	return false
}

// edit is the change of one account.
type edit struct {
	create          bool
	before, after   store.User
	password        bool // set the password from the environment
	revokeAccess    bool // end all other access
	takeover        bool // with it second factors go, too: until now the account was somebody else's
	clearMustChange bool // keep the password, but do not require a new one: a managed administrator can't change it
	reason          string

	revoked map[string]string // what revokeAccess ended, for the audit log
}

// decide returns the plan of a start. It is pure.
func decide(v *Values, s state, k *computed) plan {
	if v.mode == ModeManaged {
		return decideManaged(v, s, k)
	}
	return decideSeed(v, s, k)
}

// decideSeed implements the seed mode: the environment creates the administrator if the store has none.
func decideSeed(v *Values, s state, k *computed) plan {
	p := plan{admin: activeAdmin(s.user)}
	if v.force && !v.HasPassword() {
		p.warnings = append(p.warnings, fmt.Sprintf("%s is on, but there is no password to apply: set %s, or unset the flag",
			v.forceFrom.name, v.secret.name))
	}
	switch {
	case len(s.admins) == 0 && v.HasPassword():
		p.makeAdmin(v, s, "no administrator")
		p.recordForce(v, s, k)
	case len(s.admins) == 0:
		p.setup = true
	case v.force && v.HasPassword():
		p.forceSync(v, s, k)
	case p.admin == nil && (v.HasPassword() || v.user.set()):
		p.warnNotAdmin(v, s)
	case v.HasPassword():
		p.compare = p.admin
	}
	p.releaseManaged(s, "no longer managed by the deployment")
	return p
}

func activeAdmin(u *store.User) *store.User {
	if u == nil || !u.IsActiveAdmin() {
		return nil
	}
	return u
}

// forceSync applies the values once: if the flag stays on, later starts must not overwrite a password that was
// changed since.
func (p *plan) forceSync(v *Values, s state, k *computed) {
	if _, known := k.fingerprints[s.salt]; s.salt != "" && !known {
		p.needFingerprint = s.salt
		return
	}
	if s.appliedAt != "" {
		p.ignored = fmt.Sprintf("%s was applied at %s already, and is not applied again", v.secret.name, s.appliedAt)
		p.notes = append(p.notes, fmt.Sprintf("%s is on, but this value of %s was applied at %s already; "+
			"a password changed since then stays. Unset the flag, or set another password.",
			v.forceFrom.name, v.secret.name, s.appliedAt))
		return
	}
	p.makeAdmin(v, s, "forced by "+v.forceFrom.name)
	p.recordForce(v, s, k)
}

// recordForce records that the values were applied by force, also at the first start: otherwise the next one would
// overwrite a password that was changed in between.
func (p *plan) recordForce(v *Values, s state, k *computed) {
	if !v.force {
		return
	}
	p.record, p.salt = true, s.salt
	if p.salt == "" {
		p.salt = k.newSalt
	}
	if _, known := k.fingerprints[p.salt]; !known {
		p.needFingerprint = p.salt
	}
}

// makeAdmin makes the account of the values an active administrator with the password, and creates it if necessary.
func (p *plan) makeAdmin(v *Values, s state, reason string) {
	if s.user == nil {
		p.create(v, s, reason)
		return
	}
	after := *s.user
	after.Role, after.RoleGranted, after.Active, after.Pending, after.Managed = store.RoleAdmin, true, true, false, false
	p.edits = append(p.edits, edit{
		before: *s.user, after: after, password: true, revokeAccess: true, takeover: !s.user.IsActiveAdmin(), reason: reason,
	})
}

func (p *plan) create(v *Values, s state, reason string) {
	u := store.User{
		Username: s.name, Email: v.email.text, Name: v.name.text, Role: store.RoleAdmin, RoleGranted: true,
		Active: true, Local: true, Managed: v.mode == ModeManaged, Origin: store.OriginEnv,
	}
	if s.emailTaken && !u.Managed { // a managed administrator is identified by it
		u.Email = ""
		p.warnings = append(p.warnings,
			fmt.Sprintf("%s belongs to another account; the administrator %q is made without an e-mail address",
				v.email.name, u.Username))
	}
	u.EmailVerified = u.Email != ""
	if u.Username != v.Username() {
		p.warnings = append(p.warnings,
			fmt.Sprintf("the username %q is another account's, or its e-mail address; the administrator's is %q",
				v.Username(), u.Username))
	}
	p.edits = append(p.edits, edit{create: true, after: u, password: true, reason: reason})
}

// warnNotAdmin warns that the account of the values is not an administrator.
func (p *plan) warnNotAdmin(v *Values, s state) {
	names := make([]string, 0, shownAdmins+1)
	for i, u := range s.admins {
		if i == shownAdmins {
			names = append(names, "…")
			break
		}
		names = append(names, fmt.Sprintf("%q", u.Username))
	}
	who, remedy := strings.Join(names, ", "), fmt.Sprintf("set %s=true", v.forceFrom.name)
	if v.force { // and no password
		remedy = "set " + v.secret.name
	}
	p.ignored = fmt.Sprintf("%q is not an administrator", v.Username())
	p.warnings = append(p.warnings,
		fmt.Sprintf("%s is %q, but the store's administrators are: %s. The environment is ignored, as the "+
			"store already has an administrator. Correct %s, or %s to make this one.",
			v.user.key, v.Username(), who, v.user.key, remedy))
}

// releaseManaged clears the flag of managed administrators that the deployment no longer manages.
func (p *plan) releaseManaged(s state, reason string) {
	for _, u := range s.managed {
		if p.hasEdit(u.ID) {
			continue // its edit clears the flag
		}
		after := u
		after.Managed = false
		p.edits = append(p.edits, edit{before: u, after: after, reason: reason})
	}
}

func (p *plan) hasEdit(id string) bool {
	for _, e := range p.edits {
		if e.before.ID == id {
			return true
		}
	}
	return false
}

// decideManaged implements the managed mode: the environment determines the administrator at every start.
func decideManaged(v *Values, s state, k *computed) plan {
	p := plan{admin: s.user}
	if s.emailTaken {
		p.warnings = append(p.warnings,
			fmt.Sprintf("%s is the username of another account, too: give that account another one, "+
				"so that a sign-in with it can mean nobody else", v.email.name))
	}
	if s.user == nil {
		if s.emailHolder != nil {
			p.dropEmail(v, *s.emailHolder)
		}
		p.create(v, s, "no account has the e-mail address")
	} else {
		p.reconcile(s, *s.user, k)
	}
	for _, u := range s.managed {
		if s.user == nil || u.ID != s.user.ID {
			p.updateFormerAdmin(v, u)
		}
	}
	return p
}

// dropEmail removes the managed administrator's e-mail address from an account that got it from a provider. The
// account is not taken over.
func (p *plan) dropEmail(v *Values, u store.User) {
	after := u
	after.Email, after.EmailVerified = "", false
	p.warnings = append(p.warnings,
		fmt.Sprintf("%s was the address of the account %q, which came from a provider: that account is not "+
			"taken over, and has no e-mail address now", v.email.name, u.Username))
	p.edits = append(p.edits, edit{before: u, after: after, reason: v.email.key + " is the managed administrator's"})
}

// reconcile updates the managed administrator's account. Name, username and the case of the e-mail address can be
// changed elsewhere, so differences there are not written.
func (p *plan) reconcile(s state, u store.User, k *computed) {
	same, known := false, true
	if u.PasswordHash != "" {
		same, known = k.same[u.PasswordHash]
	}
	if !known {
		p.needSame = u.PasswordHash
		return
	}
	e := edit{
		before: u, after: u, password: !same, revokeAccess: !same || !u.Managed || s.linkedOIDC,
		takeover: isStrangers(u), clearMustChange: same && u.MustChange, reason: "managed by the deployment",
	}
	e.after.Role, e.after.RoleGranted, e.after.Active, e.after.Pending = store.RoleAdmin, true, true, false
	e.after.Managed, e.after.EmailVerified = true, true
	if e.password || e.clearMustChange || s.linkedOIDC || len(changed(e.before, e.after)) > 0 {
		p.edits = append(p.edits, e)
	}
}

// isStrangers reports whether an account that becomes the managed administrator was somebody else's: the environment
// did not manage it, nor has it made it the administrator before it began to manage one.
func isStrangers(u store.User) bool {
	return !u.Managed && (u.Origin != store.OriginEnv || !u.IsActiveAdmin())
}

// updateFormerAdmin changes an earlier managed administrator. It runs after the new one is set, so that the
// last-admin rule holds.
func (p *plan) updateFormerAdmin(v *Values, u store.User) {
	e := edit{before: u, after: u, reason: v.email.key + " names another administrator"}
	e.after.Managed = false
	what := "stays an administrator"
	switch v.formerAdmin {
	case FormerDemote:
		e.after.Role, e.after.RoleGranted = store.RoleUser, true
		what = "is an ordinary user from now on"
	case FormerDisable:
		e.after.Active = false
		what = "is disabled"
	}
	p.warnings = append(p.warnings, fmt.Sprintf("%s changed: the former managed administrator %q %s (former_admin %s)",
		v.email.key, u.Username, what, v.formerAdmin))
	p.edits = append(p.edits, e)
}

// changed returns the differences between two states of an account, for the audit log: field, before, after.
func changed(before, after store.User) [][3]string {
	var list [][3]string
	add := func(field string, b, a any) {
		if b != a {
			list = append(list, [3]string{field, fmt.Sprint(b), fmt.Sprint(a)})
		}
	}
	add("email", before.Email, after.Email)
	add("role", before.Role, after.Role)
	add("role_granted", before.RoleGranted, after.RoleGranted)
	add("active", before.Active, after.Active)
	add("pending", before.Pending, after.Pending)
	add("managed", before.Managed, after.Managed)
	add("email_verified", before.EmailVerified, after.EmailVerified)
	return list
}
