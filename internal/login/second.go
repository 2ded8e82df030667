package login

import (
	"errors"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/identifier"
	"github.com/gatehouse-auth/gatehouse/store"
)

// MFAMode says who has to have a second factor.
type MFAMode uint8

// The modes. With all but MFAOff, whoever has a second factor is asked for it.
const (
	MFAOptional MFAMode = iota // nobody has to
	MFAOff                     // nobody is asked, whatever there is
	MFAAdmins                  // administrators have to
	MFARequired                // everybody has to
)

// DefaultGrace is how long people may put off to add a second factor that they have to have.
const DefaultGrace = 14 * 24 * time.Hour

// SecondFactors is the configuration of second factors. The zero value asks whoever has one, and demands none.
type SecondFactors struct {
	Mode   MFAMode
	Groups []string // their members have to have one, too
	// Grace is how long to put it off, from the first sign-in that asks, if GraceSet is set: for everybody. Otherwise it
	// is [DefaultGrace], and nothing for administrators.
	Grace    time.Duration
	GraceSet bool
	Issuer   string // name in authenticator apps; "" for the title of the site
	// NoTOTP means that nobody adds an authenticator app. Those that there are stay, and are asked for.
	NoTOTP bool
	// NoPasskeys turns passkeys off, and NoPasskeyLogin only that they are the one thing in a sign-in.
	NoPasskeys, NoPasskeyLogin bool
	// PasskeyDomain is what passkeys belong to on the hosts that are it or lie below it, "" for each host by itself.
	PasskeyDomain string
	// TrustBrowser is how long a browser in which a second factor was proved need not prove one again; 0 for not at all.
	TrustBrowser time.Duration
}

// Demands reports whether a user has to have a second factor.
func (c SecondFactors) Demands(u store.User) bool {
	switch {
	case u.IsService() || c.Mode == MFAOff:
		return false
	case c.Mode == MFARequired, c.Mode == MFAAdmins && u.Role == store.RoleAdmin:
		return true
	}
	return identifier.HasAnyGroup(u.Groups, c.Groups)
}

// factorsOf returns the second factors of a user that count with this configuration: passkeys that nobody could prove
// are none, and whoever has nothing else is asked for what can be.
func (c SecondFactors) factorsOf(u store.User) store.Factors {
	if c.NoPasskeys {
		u.Factors.Passkeys = 0
	}
	return u.Factors
}

// Has reports whether a user has a second factor that counts.
func (c SecondFactors) Has(u store.User) bool { return c.factorsOf(u).Any() }

// DemandFor returns whom [SecondFactors.Demands] holds for, nil for nobody.
func (c SecondFactors) DemandFor() *store.MFADemand {
	d := &store.MFADemand{All: c.Mode == MFARequired, Admins: c.Mode == MFAAdmins, Groups: slices.Clone(c.Groups)}
	if c.Mode == MFAOff || !d.All && !d.Admins && len(d.Groups) == 0 {
		return nil
	}
	return d
}

func (c SecondFactors) graceFor(u store.User) time.Duration {
	switch {
	case c.GraceSet:
		return c.Grace
	case u.Role == store.RoleAdmin:
		return 0
	default:
		return DefaultGrace
	}
}

// next returns what a sign-in has to go through before there is a session, "" for nothing, and until when it can be put
// off.
func (c SecondFactors) next(u store.User, m assurance.Methods, via SignInOptions, now time.Time) (
	step store.HalfLoginPurpose, due time.Time,
) {
	demanded := c.Demands(u)
	switch {
	case c.Mode == MFAOff || m.Level().Satisfies(assurance.Two):
		return "", time.Time{}
	case c.Asks(u):
		return store.HalfLoginVerify, time.Time{}
	case !demanded:
		return "", time.Time{}
	case via.Setup: // the first administrator has just begun
		return store.HalfLoginOffer, now
	case via.Method == MethodLink && u.LastLoginAt.IsZero(): // invited
		return store.HalfLoginEnroll, now
	}
	due = now.Add(c.graceFor(u))
	if at := u.Factors.DueAt; !at.IsZero() && at.Before(due) {
		due = at
	}
	if now.Before(due) {
		return store.HalfLoginOffer, due
	}
	return store.HalfLoginEnroll, due
}

// Errors of the second step.
var (
	// ErrWrongCode means that a code is wrong, or was used before. A *[WrongCodeError] matches it.
	ErrWrongCode = errors.New("the code is wrong")
	// ErrCodesLocked means that too many wrong codes were tried in a row: no code of an authenticator app is accepted
	// until a recovery code, a passkey, or an administrator clears that.
	ErrCodesLocked = errors.New("codes of authenticator apps are locked for this account")
	// ErrNoHalfLogin means that the browser has begun no sign-in.
	ErrNoHalfLogin = errors.New("no sign-in was begun")
	// ErrFactorExists means that the person has a second factor meanwhile: another cannot be added before it was proved.
	ErrFactorExists = errors.New("there is a second factor already")
)

// WrongCodeError is a wrong code of somebody who sets an authenticator app up, with how far its clock is off.
type WrongCodeError struct{ ClockOff time.Duration }

func (e *WrongCodeError) Error() string { return ErrWrongCode.Error() }

// Is makes errors.Is(err, ErrWrongCode) true.
func (e *WrongCodeError) Is(target error) bool { return target == ErrWrongCode }

// HalfLoginOverError means that a sign-in was begun and cannot go on: it took too long, is used up, or the account has
// changed meanwhile.
type HalfLoginOverError struct {
	Username string // "" where nothing is known any more
	Return   string // as [SignInOptions].Return
}

func (e *HalfLoginOverError) Error() string {
	return "the sign-in took too long, or was used already: start again"
}

// Methods of second steps, for metrics and the audit log.
const (
	stepTOTP     = "totp"
	stepRecovery = "recovery"
)

// countStep counts an attempt at a second step.
func (s *Service) countStep(method string, err error) {
	if s.CountStep == nil {
		return
	}
	var throttled *ThrottledError
	switch {
	case err == nil:
		s.CountStep(method, "success")
	case errors.Is(err, ErrWrongCode), errors.Is(err, ErrWrongPasskey):
		s.CountStep(method, "wrong")
	case errors.As(err, &throttled):
		s.CountStep(method, "throttled")
	case errors.Is(err, ErrCodesLocked):
		s.CountStep(method, "locked")
	}
}
