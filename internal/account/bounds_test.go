package account_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/account"
	"github.com/gatehouse-auth/gatehouse/internal/login"
	"github.com/gatehouse-auth/gatehouse/store"
)

func throttled(err error) bool { return errors.As(err, new(*login.ThrottledError)) }

func (w *world) rows() int { return len(w.events(store.EventQuery{})) }

// A signed-in user whose actions are refused again and again has to wait, and the audit log has the number of refusals.
func TestRefusedActionsAreLimitedAndCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var later func()
	account.Later(w.Service, func(_ time.Duration, fn func()) { later = fn })
	w.add("mallory", store.RoleUser)
	bob := w.add("bob", store.RoleUser)
	_, _, a := w.signIn("mallory", goodPass)
	before, refused, waits := w.rows(), 0, 0
	for i := range 500 {
		var err error
		switch i % 3 {
		case 0:
			_, _, err = w.Create(w.ctx, a, account.NewUser{Username: fmt.Sprint("u", i)})
		case 1:
			err = w.Authorize(w.ctx, a, "user.delete", bob.ID)
		case 2:
			err = w.Delete(w.ctx, a, bob.ID)
		}
		switch {
		case code(err) == account.CodeRole:
			refused++
		case throttled(err):
			waits++
		default:
			t.Fatal(err)
		}
	}
	if rows := w.rows() - before; rows == 0 || rows > 30 || waits == 0 || refused == 0 {
		t.Errorf("%d rows of 500 refused acts, %d told to wait", rows, waits)
	}
	rows := w.rows()
	later()
	var rest []store.Event
	for _, e := range w.events(store.EventQuery{Outcome: store.Denied}) {
		if e.Details["refused"] != "" {
			rest = append(rest, e)
		}
	}
	if w.rows() != rows+1 || len(rest) != 1 || rest[0].Actor != "mallory" || rest[0].Details["refused"] != "470" {
		t.Errorf("the rest: %+v", rest)
	}
	later()
	if w.rows() != rows+1 {
		t.Error("it was audited twice")
	}
	w.add("eve", store.RoleUser)
	_, _, other := w.signIn("eve", goodPass)
	if err := w.Delete(w.ctx, other, bob.ID); code(err) != account.CodeRole {
		t.Errorf("somebody else: %v", err)
	}
	w.clock.Advance(time.Minute)
	if err := w.Delete(w.ctx, a, bob.ID); code(err) != account.CodeRole {
		t.Errorf("a minute later: %v", err)
	}
}

// All actions without a step-up are limited per user and per address.
func TestWritesWithoutStepUpAreLimited(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(w *world, a account.Actor, i int) error{
		"the name": func(w *world, a account.Actor, i int) error {
			_, err := w.UpdateProfile(w.ctx, a, a.UserID, fmt.Sprint("Name ", i))
			return err
		},
		"other sessions": func(w *world, a account.Actor, _ int) error { _, err := w.EndOtherSessions(w.ctx, a); return err },
		"a session": func(w *world, a account.Actor, _ int) error {
			if err := w.EndOwnSession(w.ctx, a, store.NewID(w.clock.Now())); !errors.Is(err, store.ErrNotFound) {
				return err
			}
			return nil
		},
		"exports": func(w *world, a account.Actor, _ int) error { return w.AuditExport(w.ctx, a, "user.export", nil) },
	} {
		w := newWorld(t)
		w.add("ada", store.RoleAdmin)
		w.add("bob", store.RoleAdmin)
		_, _, a := w.signIn("ada", goodPass)
		before, done := w.rows(), 0
		for i := range 200 {
			err := act(w, a, i)
			if err != nil && !throttled(err) {
				t.Fatalf("%s: %v", name, err)
			}
			if err == nil {
				done++
			}
		}
		if rows := w.rows() - before; rows > 60 || done != 60 {
			t.Errorf("%s: %d rows, %d acts", name, rows, done)
		}
		_, _, b := w.signIn("bob", goodPass)
		if err := act(w, b, 0); err != nil {
			t.Errorf("%s, somebody else: %v", name, err)
		}
		w.clock.Advance(time.Minute)
		if err := act(w, a, 1000); err != nil {
			t.Errorf("%s, a minute later: %v", name, err)
		}
	}
}

// An address has the limit of a few users, no matter who acts from there.
func TestAnAddressHasTheLimitOfAFewUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	done := 0
	var last account.Actor
	for n := range 10 {
		name := fmt.Sprint("user", n)
		w.add(name, store.RoleUser)
		_, _, last = w.signIn(name, goodPass)
		for range 60 {
			if _, err := w.EndOtherSessions(w.ctx, last); err == nil {
				done++
			}
		}
	}
	if done != 300 {
		t.Errorf("%d acts from one address", done)
	}
	last.Client.IP = netip.MustParseAddr("198.51.100.7")
	if _, err := w.EndOtherSessions(w.ctx, last); err != nil {
		t.Errorf("from elsewhere: %v", err)
	}
}

// Reading a whole list through the API is an export, in however many pages: it is audited, once.
func TestReadingAWholeListIsAuditedOnce(t *testing.T) {
	t.Parallel()
	for _, page := range []int{1000, 100, 20} {
		w := newWorld(t)
		w.add("ada", store.RoleAdmin)
		_, _, a := w.signIn("ada", goodPass)
		for range 2000 / page {
			if err := w.AuditListRead(w.ctx, a, "audit.export", page, map[string]string{"format": "json"}); err != nil {
				t.Fatal(err)
			}
		}
		if list := w.events(store.EventQuery{Action: "audit.export"}); len(list) != 1 || list[0].Actor != "ada" ||
			list[0].Details["format"] != "json" {
			t.Errorf("in pages of %d: %+v", page, list)
		}
		w.clock.Advance(10 * time.Minute)
		if err := w.AuditListRead(w.ctx, a, "audit.export", 10, nil); err != nil {
			t.Fatal(err)
		}
		if list := w.events(store.EventQuery{Action: "audit.export"}); len(list) != 1 {
			t.Errorf("a look later: %d", len(list))
		}
	}
}

// A page is refused if its export could not be audited, and so is the next one: a failed audit does not count.
func TestAListIsNotReadIfTheExportCannotBeAudited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("ada", store.RoleAdmin)
	_, _, a := w.signIn("ada", goodPass)
	read := func(ctx context.Context) error { return w.AuditListRead(ctx, a, "user.export", 1000, nil) }
	gone, leave := context.WithCancel(w.ctx)
	leave()
	for range 3 {
		if err := read(gone); err == nil {
			t.Error("a client that left has read a list, and nobody was told")
		}
	}
	for i := range 60 { // no more actions in this minute
		_, _ = w.UpdateProfile(w.ctx, a, a.UserID, fmt.Sprint("Name ", i))
	}
	for range 3 {
		if err := read(w.ctx); !throttled(err) {
			t.Errorf("one act too many, and a list was read: %v", err)
		}
	}
	w.clock.Advance(time.Minute)
	for range 3 {
		if err := read(w.ctx); err != nil {
			t.Fatal(err)
		}
	}
	if list := w.events(store.EventQuery{Action: "user.export"}); len(list) != 1 {
		t.Errorf("told %d times", len(list))
	}
}

// A wrong password at a step-up is audited with the user's name, and not as an anonymous sign-in.
func TestAWrongPasswordAtAStepUpIsAuditedByName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.add("ada", store.RoleUser)
	w.signIn("ada", goodPass)
	for range 8 {
		if _, err := w.Login.Reverify(w.ctx, browser, w.user(ada.ID), "a wrong password"); err == nil {
			t.Fatal("it was right")
		}
	}
	list := w.events(store.EventQuery{Action: "session.confirm"})
	if len(list) != 8 {
		t.Fatalf("%d rows", len(list))
	}
	for _, e := range list {
		if e.ActorID != ada.ID || e.Actor != "ada" || e.TargetID != ada.ID || e.Outcome == store.Success {
			t.Errorf("%+v", e)
		}
	}
	if list := w.events(store.EventQuery{Actor: "anonymous"}); len(list) != 0 {
		t.Errorf("anonymous: %+v", list)
	}
}
