package seed

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/internal/password"
	"github.com/gatehouse-auth/gatehouse/store"
)

// finish logs the plan's result and returns it.
func (s *seeder) finish(ctx context.Context, st store.Reader, p plan) (Result, error) {
	res := Result{Action: p.action(), NeedsSetup: p.setup, Warnings: p.warnings, Ignored: p.ignored}
	if p.admin != nil {
		u, err := st.User(ctx, p.admin.ID)
		if err != nil {
			return Result{}, fmt.Errorf("reading the administrator: %w", err)
		}
		u.PasswordHash = ""
		res.Admin = u
	}
	for _, e := range p.edits {
		s.log.Info(e.describe(s.v), zap.String("user", e.after.Username), zap.String("reason", e.reason))
	}
	for _, text := range p.notes {
		s.log.Info(text)
	}
	for _, text := range p.warnings {
		s.log.Warn(text)
	}
	if p.compare != nil {
		res.CheckIgnored = func(ctx context.Context) { s.compareLater(ctx, *p.compare) }
	}
	return res, nil
}

// action summarizes the edits.
func (p plan) action() string {
	action := ActionNone
	for _, e := range p.edits {
		switch {
		case e.create:
			return ActionCreated
		case e.password || e.after.Managed || e.clearMustChange:
			action = ActionUpdated
		case action == ActionNone:
			action = ActionReleased
		}
	}
	return action
}

// describe returns a sentence about the change of an account.
func (e edit) describe(v *Values) string {
	switch {
	case e.create:
		return fmt.Sprintf("administrator %q made, with the password from %s", e.after.Username, v.secret.name)
	case e.password && len(changed(e.before, e.after)) > 0:
		return fmt.Sprintf("account %q made an active administrator, with the password from %s; its sessions ended",
			e.after.Username, v.secret.name)
	case e.password:
		return fmt.Sprintf("password of %q set from %s; its sessions ended", e.after.Username, v.secret.name)
	case !e.before.Managed || e.after.Managed:
		return fmt.Sprintf("account %q made the managed administrator", e.after.Username)
	case !e.after.Active:
		return fmt.Sprintf("account %q disabled; the deployment does not manage it any more", e.after.Username)
	case e.after.Role != e.before.Role:
		return fmt.Sprintf("account %q made an ordinary user; the deployment does not manage it any more", e.after.Username)
	}
	return fmt.Sprintf("account %q is not managed by the deployment any more", e.after.Username)
}

// compareLater logs a warning that the password in the environment is ignored, if it is not the administrator's.
func (s *seeder) compareLater(ctx context.Context, u store.User) {
	same, err := retryBusy(ctx, func() (bool, error) { return s.v.sameAs(ctx, s.h, u.PasswordHash) })
	switch {
	case err != nil:
		s.log.Debug("did not compare the environment's password with the administrator's", zap.Error(err))
	case !same:
		s.log.Warn(ignoredText(s.v, u), zap.String("user", u.Username))
	}
}

func ignoredText(v *Values, u store.User) string {
	if v.hash != nil {
		return fmt.Sprintf("%s is ignored: the store already has an administrator, and what it keeps for %q is another "+
			"hash. Set %s=true to apply it once, or run: caddy gatehouse reset-password",
			v.secret.name, u.Username, v.forceFrom.name)
	}
	return fmt.Sprintf("%s is ignored: the store already has an administrator, and the password of %q is another one. "+
		"Set %s=true to apply it once, or run: caddy gatehouse reset-password", v.secret.name, u.Username, v.forceFrom.name)
}

// Kinds of a [Line].
const (
	LineValue   = "value"
	LineAction  = "action"
	LineWarning = "warning"
	LineNote    = "note"
)

// Line is one line of the result of [Describe].
type Line struct {
	Kind   string `json:"kind"`             // one of the Line constants
	Name   string `json:"name,omitempty"`   // of a value: the variable
	Text   string `json:"text"`             // the value, or a sentence; never a secret
	Source string `json:"source,omitempty"` // of a value: where it comes from
}

// Describe returns what a start would do, and the source of each value. It writes nothing. A nil store means an empty
// one.
func Describe(ctx context.Context, st store.Store, v *Values, h *password.Hasher) ([]Line, error) {
	s := newSeeder(v, h, Options{})
	var r store.Reader
	if st != nil {
		r = st
	}
	p, err := s.plan(ctx, r)
	if err != nil {
		return nil, err
	}
	lines := v.lines()
	for _, e := range p.edits {
		lines = append(lines, Line{Kind: LineAction, Text: e.describe(v) + " (" + e.reason + ")"})
		unlinked, err := unlinks(ctx, r, e)
		if err != nil {
			return nil, fmt.Errorf("reading who signs in to the administrator's account through a provider: %w", err)
		}
		lines = append(lines, unlinked...)
	}
	if p.setup {
		lines = append(lines, Line{
			Kind: LineAction,
			Text: "no administrator and no password: the log will carry a one-time set-up link",
		})
	}
	for _, text := range p.warnings {
		lines = append(lines, Line{Kind: LineWarning, Text: text})
	}
	for _, text := range p.notes {
		lines = append(lines, Line{Kind: LineNote, Text: text})
	}
	if p.compare != nil {
		same, err := retryBusy(ctx, func() (bool, error) { return v.sameAs(ctx, h, p.compare.PasswordHash) })
		if err != nil {
			return nil, fmt.Errorf("comparing the administrator's password: %w", err)
		}
		if !same {
			lines = append(lines, Line{Kind: LineNote, Text: ignoredText(v, *p.compare)})
		}
	}
	if !p.writes() && !p.setup {
		lines = append(lines, Line{Kind: LineAction, Text: "nothing to write"})
	}
	return lines, nil
}

// unlinks returns which identities, and second factors, an edit takes from an account.
func unlinks(ctx context.Context, r store.Reader, e edit) ([]Line, error) {
	if !e.revokeAccess {
		return nil, nil
	}
	ids, err := r.Identities(ctx, e.before.ID)
	if err != nil {
		return nil, err
	}
	var lines []Line
	for _, id := range ids {
		lines = append(lines, Line{Kind: LineWarning, Text: fmt.Sprintf("%s (account %q, provider %q)", unlinkedText,
			e.before.Username, id.Provider)})
	}
	if e.takeover && e.before.Factors.Any() {
		lines = append(lines, Line{Kind: LineWarning, Text: fmt.Sprintf("%s (account %q)", factorsText, e.before.Username)})
	}
	return lines, nil
}

const factorsText = "second factors are removed from the administrator's account: it was somebody else's until now"

const unlinkedText = "a sign-in through a provider is unlinked from the administrator's account: " +
	"the environment says who it is"

// lines returns each value with its source.
func (v *Values) lines() []Line {
	from := func(val value, otherwise string) string {
		if val.set() {
			return val.source
		}
		return otherwise
	}
	secret := value{text: "(not set)", source: from(v.secret, SourceNone)}
	if v.HasPassword() {
		secret.text = "(hidden)"
	}
	derived := SourceDefault
	if v.mode == ModeManaged {
		derived = "the part of the e-mail before the @"
	}
	force := "false"
	if v.force {
		force = "true"
	}
	out := []Line{
		{LineValue, "mode", string(v.mode), v.modeFrom},
		{LineValue, v.user.key, v.Username(), from(v.user, derived)},
		{LineValue, v.email.key, v.email.text, from(v.email, SourceNone)},
		{LineValue, v.name.key, v.name.text, from(v.name, SourceNone)},
		{LineValue, v.secret.key, secret.text, secret.source},
	}
	if v.mode == ModeManaged {
		return append(out, Line{LineValue, "former_admin", v.formerAdmin, v.formerFrom})
	}
	return append(out, Line{LineValue, v.forceFrom.key, force, from(v.forceFrom, SourceDefault)})
}
