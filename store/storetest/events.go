package storetest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

func allEvents(t *testing.T, s store.Reader, q store.EventQuery) []store.Event {
	t.Helper()
	var events []store.Event
	for range 1000 {
		page, err := s.Events(t.Context(), q)
		if err != nil {
			t.Fatalf("list events: %v", err)
		}
		events = append(events, page.Items...)
		if page.Next == "" {
			return events
		}
		q.Cursor = page.Next
	}
	t.Fatal("the list has no end")
	return nil
}

var eventTests = []test{
	{"events are found by actor kind, whatever the usernames", func(t *testing.T, s store.Store) {
		at := now()
		names := []string{
			store.NameCommandLine, store.NameEnvironment, store.NameStartUp, store.NameAnonymous, store.ProviderPrefix +
				"corp", "the sweeper", "Ann",
		}
		var events []store.Event
		for i, name := range names {
			for j, id := range []string{"", "someone"} {
				at := at.Add(time.Duration(2*i+j) * time.Second)
				events = append(events, store.Event{
					ID: store.NewID(at), Time: at, ActorID: id, Actor: name, Action: "user.update",
					Outcome: store.Success,
				})
			}
		}
		if err := s.AddEvents(t.Context(), events...); err != nil {
			t.Fatal(err)
		}
		for _, kind := range store.ActorKinds {
			for _, name := range append([]string{""}, names...) {
				got := allEvents(t, s, store.EventQuery{ActorKind: kind, Actor: name, Limit: 2})
				want := slices.DeleteFunc(slices.Clone(events), func(e store.Event) bool {
					return e.ActorKind() != kind || name != "" && e.Actor != name
				})
				slices.Reverse(want)
				if len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
					t.Errorf("%s %q: %d events, want %d", kind, name, len(got), len(want))
				}
			}
		}
		if _, err := s.Events(t.Context(), store.EventQuery{ActorKind: "robot"}); err == nil {
			t.Error("an unknown kind finds events")
		}
	}},
	{"an event is returned as added, inside and outside of a change", func(t *testing.T, s store.Store) {
		at := now()
		want := store.Event{
			ID: store.NewID(at), Time: at, ActorID: "a", Actor: "Ann", Action: "user.update", TargetID: "b", Target: "Bob",
			Outcome: store.Success, IP: "192.0.2.1", UserAgent: "UA", RequestID: "r", Details: map[string]string{"role": "user → admin"},
		}
		other := want
		other.ID, other.Details, other.Time = store.NewID(at), nil, at.Add(time.Second)
		change(t, s, func(ctx context.Context, tx store.Tx) error { return tx.AddEvent(ctx, want) })
		if err := s.AddEvents(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		if err := s.AddEvents(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Event(t.Context(), want.ID); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("by id: %+v, %v", got, err)
		}
		for _, id := range []string{"", "nobody", "a\x00"} {
			_, err := s.Event(t.Context(), id)
			wantErr(t, err, store.ErrNotFound)
		}
		got := allEvents(t, s, store.EventQuery{})
		if !reflect.DeepEqual(got, []store.Event{other, want}) {
			t.Fatalf("got %+v", got)
		}
	}},
	{"events of one millisecond are listed in order", func(t *testing.T, s store.Store) {
		at := now()
		const n = 60
		var batch []store.Event
		for i := range n / 2 {
			change(t, s, func(ctx context.Context, tx store.Tx) error {
				return tx.AddEvent(ctx, store.Event{Time: at, Action: "a.b", Target: fmt.Sprintf("%02d", i)})
			})
		}
		for i := range n / 2 {
			batch = append(batch, store.Event{Time: at, Action: "a.b", Target: fmt.Sprintf("%02d", n/2+i)})
		}
		if err := s.AddEvents(t.Context(), batch...); err != nil {
			t.Fatal(err)
		}
		got := allEvents(t, s, store.EventQuery{Limit: 7})
		for i, e := range got {
			if e.Target != fmt.Sprintf("%02d", n-1-i) || !store.ValidID(e.ID) {
				t.Errorf("place %d holds number %s, id %s", i, e.Target, e.ID)
			}
		}
		if len(got) != n {
			t.Errorf("%d events", len(got))
		}
	}},
	{"a complete IP address or request id is matched exactly", func(t *testing.T, s store.Store) {
		var events []store.Event
		for i, ip := range []string{"192.0.2.3", "192.0.2.30", "2001:db8::1", "192.0.2.3"} {
			events = append(events, store.Event{
				Action: "a.b", IP: ip, RequestID: fmt.Sprintf("Request-%d", i/2),
				Target: fmt.Sprint(i),
			})
		}
		if err := s.AddEvents(t.Context(), events...); err != nil {
			t.Fatal(err)
		}
		for text, want := range map[string]string{
			"192.0.2.3": "30", "192.0.2.30": "1", "192.0.2": "310", "2001:DB8:0::1": "2", "Request-1": "32", "Request-": "", "request-1": "",
		} {
			var got string
			for _, e := range allEvents(t, s, store.EventQuery{Text: text}) {
				got += e.Target
			}
			if got != want {
				t.Errorf("%q: got %q, want %q", text, got, want)
			}
		}
	}},
	{"client input cannot keep an event out of the log", func(t *testing.T, s store.Store) {
		for _, text := range hostileTexts {
			err := s.AddEvents(t.Context(), store.Event{
				Actor: text, Target: text, Action: "session.sign_in", IP: text,
				UserAgent: text, RequestID: text, ActorID: text, TargetID: text, Details: map[string]string{text: text},
			})
			if err != nil {
				t.Errorf("%q: %v", text, err)
			}
			if _, err := s.Events(t.Context(), store.EventQuery{
				Text: text, Actor: text, Action: text, UserID: text,
				Outcome: store.Outcome(text),
			}); err != nil {
				t.Errorf("search for %q: %v", text, err)
			}
		}
		if n := len(allEvents(t, s, store.EventQuery{})); n != len(hostileTexts) {
			t.Fatalf("%d events of %d", n, len(hostileTexts))
		}
	}},
	{"every filter of events agrees with a linear search", func(t *testing.T, s store.Store) {
		at := now().Add(-time.Hour)
		actions := []string{
			"session.sign_in", "session.sign_out", "user.update", "user.identity.link", "users.import",
			"plain",
		}
		var events []store.Event
		for i := range 60 {
			e := store.Event{
				Time: at.Add(time.Duration(i/2) * time.Second), Actor: fmt.Sprintf("Ann%d", i%3), ActorID: fmt.Sprintf("id%d", i%3),
				Action: actions[i%len(actions)], Outcome: []store.Outcome{store.Success, store.Failure, store.Denied}[i%3],
				IP: fmt.Sprintf("192.0.2.%d", i%7), Target: fmt.Sprintf("Täter%d", i%4), TargetID: fmt.Sprintf("id%d", i%4),
			}
			if i%5 == 0 {
				e.ActorID, e.TargetID = "", ""
			}
			e.ID = store.NewID(e.Time)
			events = append(events, e)
		}
		if err := s.AddEvents(t.Context(), events...); err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(events, func(a, b store.Event) int {
			if c := b.Time.Compare(a.Time); c != 0 {
				return c
			}
			return strings.Compare(b.ID, a.ID)
		})
		for _, q := range []store.EventQuery{
			{},
			{Actor: "ANN1"},
			{Actor: "ann"},
			{Action: "session.sign_in"},
			{Action: "session."},
			{Action: "user."},
			{Action: "user.identity."},
			{Action: "plain"},
			{Action: "plain."},
			{Outcome: store.Denied},
			{UserID: "id1"},
			{UserID: "id3"},
			{UserID: "nobody"},
			{TargetID: "id1"},
			{TargetID: "id1", UserID: "id2"},
			{TargetID: "id3", Action: "session.", Text: "ann"},
			{Text: "TÄTER2"},
			{Text: "192.0.2.3"},
			{Text: "sign_"},
			{From: at.Add(10 * time.Second)},
			{To: at.Add(10 * time.Second)},
			{From: at.Add(5 * time.Second), To: at.Add(6 * time.Second)},
			{UserID: "id2", Action: "session.", Outcome: store.Success, From: at.Add(2 * time.Second), Text: "ann"},
		} {
			var want []string
			for _, e := range events {
				if eventMatches(e, q) {
					want = append(want, e.ID)
				}
			}
			q.Limit = 4
			var got []string
			for _, e := range allEvents(t, s, q) {
				got = append(got, e.ID)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%+v: got %d, want %d: %v, %v", q, len(got), len(want), got, want)
			}
		}
	}},
}

// eventMatches is a simple reference implementation of EventQuery.
func eventMatches(e store.Event, q store.EventQuery) bool {
	text := store.FoldName(e.Actor) + "\n" + store.FoldName(e.Target) + "\n" + store.FoldName(e.Action) + "\n" +
		store.FoldName(e.IP)
	for _, holds := range []bool{
		strings.Contains(text, store.FoldName(q.Text)),
		q.Action == "" || e.Action == q.Action || strings.HasSuffix(q.Action, ".") && strings.HasPrefix(e.Action, q.Action),
		q.UserID == "" || e.ActorID == q.UserID || e.TargetID == q.UserID,
		q.TargetID == "" || e.TargetID == q.TargetID,
		q.Actor == "" || store.FoldName(e.Actor) == store.FoldName(q.Actor),
		q.Outcome == "" || e.Outcome == q.Outcome,
		q.From.IsZero() || !e.Time.Before(q.From),
		q.To.IsZero() || e.Time.Before(q.To),
	} {
		if !holds {
			return false
		}
	}
	return true
}
