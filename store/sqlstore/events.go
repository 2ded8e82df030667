package sqlstore

import (
	"context"
	"fmt"
	"strings"

	"github.com/gatehouse-auth/gatehouse/store"
)

const eventColumns = `id happened_at actor_id actor action target_id target outcome ip user_agent request_id details`

func scanEvent(s scanner) (store.Event, error) {
	var e store.Event
	var at int64
	var details string
	err := s.Scan(&e.ID, &at, &e.ActorID, &e.Actor, &e.Action, &e.TargetID, &e.Target, &e.Outcome, &e.IP, &e.UserAgent,
		&e.RequestID, &details)
	if err != nil {
		return store.Event{}, err
	}
	e.Time = fromMillis(at)
	if e.Details, err = parseDetails(details); err != nil {
		return store.Event{}, fmt.Errorf("event %s: %w", e.ID, err)
	}
	return e, nil
}

// actionGroup answers the noun of an action with its dot: "session." of "session.sign_in".
func actionGroup(action string) string {
	noun, _, ok := strings.Cut(action, ".")
	if !ok {
		return ""
	}
	return noun + "."
}

// actorKey folds an actor. Folding can make a text many times longer.
func actorKey(actor string) string {
	return clip(store.FoldName(clip(actor, maxEventText)), maxEventText)
}

func (d *DB) completeEvent(e store.Event) store.Event {
	if e.Time.IsZero() {
		e.Time = d.opts.Clock()
	}
	if e.ID == "" {
		e.ID = store.NewID(e.Time)
	}
	return e
}

// maxEventText bounds each text of an event but its details: five of them are in indexes.
const maxEventText = 512

// insertEvent cleans and cuts every text: an event must not stay out of the log because of what a client sent.
func insertEvent(ctx context.Context, q queryer, e store.Event) error {
	text := func(s string) string { return clip(s, maxEventText) }
	actor, target, action, ip := text(e.Actor), text(e.Target), text(e.Action), text(e.IP)
	search := store.FoldName(actor) + "\n" + store.FoldName(target) + "\n" + store.FoldName(action) + "\n" + store.FoldName(ip)
	_, err := q.ExecContext(ctx, `INSERT INTO events (`+columns("", eventColumns)+`, actor_key, action_group, search)
		VALUES (`+placeholders(15)+`)`,
		text(e.ID), toMillis(e.Time), text(e.ActorID), actor, action, text(e.TargetID), target, text(string(e.Outcome)),
		ip, text(e.UserAgent), text(e.RequestID), detailsText(e.Details),
		actorKey(e.Actor), actionGroup(action), search)
	return err
}

// AddEvent implements [store.Tx].
func (t *tx) AddEvent(ctx context.Context, e store.Event) error {
	return t.run(ctx, "add to the audit log", func(ctx context.Context, q queryer) error {
		return insertEvent(ctx, q, t.d.completeEvent(e))
	})
}

// AddEvents implements [store.Store].
func (d *DB) AddEvents(ctx context.Context, events ...store.Event) error {
	if len(events) == 0 {
		return nil
	}
	return d.bulk(ctx, "add to the audit log", func(ctx context.Context, q queryer) error {
		for _, e := range events {
			if err := insertEvent(ctx, q, d.completeEvent(e)); err != nil {
				return err
			}
		}
		return nil
	})
}

const eventOrder = " ORDER BY happened_at DESC, id DESC LIMIT "

// eventFilter is the condition of a query, but for UserID.
func (r reader) eventFilter(q store.EventQuery) where {
	var w where
	if q.Actor != "" {
		w.add("actor_key = %s", actorKey(q.Actor))
	}
	switch action := clip(q.Action, maxEventText); {
	case action == "":
	case !strings.HasSuffix(action, "."):
		w.add("action = %s", action)
	case action == actionGroup(action):
		w.add("action_group = %s", action)
	default: // a group within a group
		w.add("action_group = %s AND action >= %s AND action < %s", actionGroup(action), action,
			strings.TrimSuffix(action, ".")+"/") // '/' follows '.' in ASCII
	}
	if q.Outcome != "" {
		w.add("outcome = %s", clean(string(q.Outcome)))
	}
	if !q.From.IsZero() {
		w.add("happened_at >= %s", toMillis(q.From))
	}
	if !q.To.IsZero() {
		w.add("happened_at < %s", toMillis(q.To))
	}
	if text := store.FoldName(clean(q.Text)); text != "" {
		w.add(r.dia.contains+"(search, %s) > 0", text)
	}
	return w
}

// Event implements [store.Reader].
func (r reader) Event(ctx context.Context, id string) (store.Event, error) {
	if !keepable(id) {
		return store.Event{}, store.ErrNotFound
	}
	return one(ctx, r, "read the audit log", scanEvent, `SELECT `+columns("", eventColumns)+` FROM events WHERE id = $1`, id)
}

// Events implements [store.Reader].
func (r reader) Events(ctx context.Context, q store.EventQuery) (store.EventPage, error) {
	const list = "events"
	after, ok, err := parseCursor(q.Cursor, list)
	if err != nil {
		return store.EventPage{}, err
	}
	w := r.eventFilter(q)
	if ok {
		w.add("(happened_at, id) < (%s, %s)", after.Num, after.ID)
	}
	size := pageSize(q.Limit)
	query := eventsQuery(&w, q.UserID, size+1)
	events, err := all(ctx, r, "list the audit log", scanEvent, query, w.args...)
	if err != nil {
		return store.EventPage{}, err
	}
	page := store.EventPage{Items: events}
	if len(events) > size {
		last := events[size-1]
		page.Items = events[:size]
		page.Next = cursor{List: list, Num: toMillis(last.Time), ID: last.ID}.String()
	}
	return page, nil
}

// eventsQuery answers the text of the query. For a user it is two lists, of what they did and of what was done to them,
// each bounded and by its own index: one condition with OR would sort all of a user's events for every page.
func eventsQuery(w *where, userID string, limit int) string {
	cols := columns("", eventColumns)
	if userID == "" {
		return `SELECT ` + cols + ` FROM events` + w.String() + eventOrder + w.arg(int64(limit))
	}
	user, max := w.arg(clean(userID)), w.arg(int64(limit))
	rest := w.and()
	did := `SELECT ` + cols + ` FROM events WHERE actor_id = ` + user + ` AND actor_id <> ''` + rest + eventOrder + max
	done := `SELECT ` + cols + ` FROM events WHERE target_id = ` + user + ` AND target_id <> '' AND actor_id <> ` + user +
		rest + eventOrder + max
	return `SELECT ` + cols + ` FROM (SELECT * FROM (` + did + `) AS did UNION ALL SELECT * FROM (` + done +
		`) AS done) AS both_lists` + eventOrder + max
}
