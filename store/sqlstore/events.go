package sqlstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
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

// actionGroup returns the noun of an action with its dot: "session." of "session.sign_in".
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

// CompleteEvent sets the time and the id of an event if they are missing, as AddEvents does. A caller that buffers
// events calls it early, so that events of the same millisecond stay in order.
func (d *DB) CompleteEvent(e store.Event) store.Event {
	if e.Time.IsZero() {
		e.Time = d.opts.Clock()
	}
	if e.ID == "" {
		e.ID = d.ids.Next(e.Time)
	}
	return e
}

// maxEventText bounds each text of an event but its details: five of them are in indexes.
const maxEventText = 512

// insertEvent cleans and truncates every text: client input must not be able to keep an event out of the audit log.
func insertEvent(ctx context.Context, q queryer, e store.Event) error {
	text := func(s string) string { return clip(s, maxEventText) }
	actor, target, action, ip := text(e.Actor), text(e.Target), text(e.Action), text(withoutZone(e.IP))
	_, err := q.ExecContext(ctx, `INSERT INTO events (`+columns("", eventColumns)+`, actor_key, action_group, search)
		VALUES (`+placeholders(15)+`)`,
		text(e.ID), toMillis(e.Time), text(e.ActorID), actor, action, text(e.TargetID), target, text(string(e.Outcome)),
		ip, text(e.UserAgent), text(e.RequestID), detailsText(e.Details),
		actorKey(e.Actor), actionGroup(action), eventSearch(actor, target, action, ip))
	return err
}

// eventSearch returns the text that searches of the audit log match.
func eventSearch(actor, target, action, ip string) string {
	return store.FoldName(actor) + "\n" + store.FoldName(target) + "\n" + store.FoldName(action) + "\n" +
		store.FoldName(ip)
}

// AddEvent implements [store.Tx].
func (t *tx) AddEvent(ctx context.Context, e store.Event) error {
	return t.run(ctx, "add to the audit log", func(ctx context.Context, q queryer) error {
		return insertEvent(ctx, q, t.d.CompleteEvent(e))
	})
}

// AddEvents implements [store.Store].
func (d *DB) AddEvents(ctx context.Context, events ...store.Event) error {
	if len(events) == 0 {
		return nil
	}
	return d.bulk(ctx, "add to the audit log", func(ctx context.Context, q queryer) error {
		for _, e := range events {
			if err := insertEvent(ctx, q, d.CompleteEvent(e)); err != nil {
				return err
			}
		}
		return nil
	})
}

var eventOrder = order{list: "events", key: "happened_at", id: "id", isTime: true, desc: true}

func eventCursor(e store.Event) cursor {
	return cursor{List: eventOrder.list, Num: toMillis(e.Time), ID: e.ID}
}

// eventFilter holds the conditions of a query. Each of indexes is one index scan in the order of the list, and the
// list is their union; each scan filters by rest.
type eventFilter struct {
	indexes []func(*where)
	rest    []func(*where)
}

// addIndexed adds the condition that column is value as that of the index scan, or to rest if there is an index scan
// already.
func (f *eventFilter) addIndexed(noIndex, column string, value any) {
	if len(f.indexes) == 0 {
		f.indexes = append(f.indexes, func(w *where) { w.add(column+" = %s", value) })
		return
	}
	f.add(noIndex+column+" = %s", value)
}

func (f *eventFilter) add(condition string, values ...any) {
	f.rest = append(f.rest, func(w *where) { w.add(condition, values...) })
}

func (f *eventFilter) applyRest(w *where) {
	for _, add := range f.rest {
		add(w)
	}
}

// newEventFilter considers the conditions from the most to the least selective: the first one uses the index.
func (r reader) newEventFilter(ctx context.Context, q store.EventQuery) (eventFilter, error) {
	var f eventFilter
	if err := r.addEventText(ctx, &f, q.Text); err != nil {
		return f, err
	}
	// Conditions of partial indexes are repeated so that the planner recognizes them.
	noIndex := r.dia.unindexed
	f.addPeople(noIndex, q)
	if q.Actor != "" {
		f.addIndexed(noIndex, "actor_key", actorKey(q.Actor))
	}
	if err := f.addActorKind(noIndex, q.ActorKind); err != nil {
		return f, err
	}
	switch action := clip(q.Action, maxEventText); {
	case action == "":
	case !strings.HasSuffix(action, "."):
		f.addIndexed(noIndex, "action", action)
	default:
		f.addIndexed(noIndex, "action_group", actionGroup(action))
		if action != actionGroup(action) { // a group within a group
			// '/' follows '.' in ASCII
			f.add(noIndex+"action >= %s AND "+noIndex+"action < %s", action, strings.TrimSuffix(action, ".")+"/")
		}
	}
	if q.Outcome != "" {
		f.addIndexed(noIndex, "outcome", clean(string(q.Outcome)))
	}
	if len(f.indexes) == 0 {
		f.indexes = append(f.indexes, func(*where) {})
	}
	return f, nil
}

// addPeople adds the conditions about the person whom an event is about.
func (f *eventFilter) addPeople(noIndex string, q store.EventQuery) {
	if user := clean(q.UserID); user != "" && len(f.indexes) == 0 {
		// Two scans, as actor and as target: one condition with OR would sort all of a user's events for every page.
		f.indexes = append(f.indexes,
			func(w *where) { w.add("actor_id = %s AND actor_id <> ''", user) },
			func(w *where) { w.add("target_id = %s AND target_id <> ''", user) })
	} else if user != "" {
		f.add("("+noIndex+"actor_id = %s OR "+noIndex+"target_id = %s)", user, user)
	}
	if target := clean(q.TargetID); target != "" && len(f.indexes) == 0 {
		f.indexes = append(f.indexes, func(w *where) { w.add("target_id = %s AND target_id <> ''", target) })
	} else if target != "" {
		f.add(noIndex+"target_id = %s", target)
	}
}

// addActorKind adds the condition for a kind of actor, which follows from the actor's id and name.
func (f *eventFilter) addActorKind(noIndex string, kind store.ActorKind) error {
	if kind == "" {
		return nil
	}
	if !slices.Contains(store.ActorKinds, kind) {
		return fmt.Errorf("%w: no kind of actors is named %q", errBadQuery, kind)
	}
	if kind == store.ActorPerson {
		f.add(noIndex + "actor_id <> ''")
		return nil
	}
	f.add(noIndex + "actor_id = ''")
	names := []string{store.NameCommandLine, store.NameEnvironment, store.NameStartUp, store.NameAnonymous}
	for _, name := range names {
		switch {
		case store.ActorKindOf(name) == kind:
			f.addIndexed(noIndex, "actor_key", actorKey(name))
		case kind == store.ActorSystem:
			f.add(noIndex+"actor_key <> %s", actorKey(name))
		}
	}
	prefix := store.ProviderPrefix
	end := strings.TrimSuffix(prefix, ":") + ";" // ';' follows ':' in ASCII
	switch kind {
	case store.ActorProvider:
		f.add(noIndex+"actor_key >= %s AND "+noIndex+"actor_key < %s", prefix, end)
	case store.ActorSystem:
		f.add("("+noIndex+"actor_key < %s OR "+noIndex+"actor_key >= %s)", prefix, end)
	}
	return nil
}

// addEventText adds the condition for a search text: a request id, an IP address, else a substring.
func (r reader) addEventText(ctx context.Context, f *eventFilter, query string) error {
	text := store.FoldName(clean(query))
	if text == "" {
		return nil
	}
	if ip, whole := wholeIP(text); whole {
		f.indexes = append(f.indexes, func(w *where) { w.add("ip = %s AND ip <> ''", ip) })
		return nil
	}
	request := strings.TrimSpace(clip(query, maxEventText))
	n, err := one(ctx, r, "list the audit log", scanInt, `SELECT count(*) FROM (SELECT 1 FROM events
		WHERE request_id = $1 AND request_id <> '' LIMIT 1) AS found`, request)
	switch {
	case err != nil:
		return err
	case n > 0:
		f.indexes = append(f.indexes, func(w *where) { w.add("request_id = %s AND request_id <> ''", request) })
	default:
		f.add(r.dia.contains+"(search, %s) > 0", text)
	}
	return nil
}

// Event implements [store.Reader].
func (r reader) Event(ctx context.Context, id string) (store.Event, error) {
	if !storable(id) {
		return store.Event{}, store.ErrNotFound
	}
	return one(ctx, r, "read the audit log", scanEvent, `SELECT `+columns("", eventColumns)+` FROM events WHERE id = $1`,
		id)
}

// Events implements [store.Reader].
func (r reader) Events(ctx context.Context, q store.EventQuery) (store.EventPage, error) {
	from, err := eventOrder.parseCursor(q.Cursor)
	if err != nil {
		return store.EventPage{}, err
	}
	f, err := r.newEventFilter(ctx, q)
	if err != nil {
		return store.EventPage{}, err
	}
	size := pageSize(q.Limit)
	var rows []store.Event
	var stop *cursor
	for _, index := range f.indexes {
		l := listing[store.Event]{
			op: "list the audit log", cols: columns("", eventColumns), from: "FROM events", keys: "FROM events",
			order: eventOrder, scan: scanEvent, cursorOf: eventCursor,
			index: func(w *where) { index(w); addTimeRange(w, q) },
		}
		if len(f.rest) > 0 {
			l.filter = f.applyRest
		}
		found, stopped, err := l.read(ctx, r, from, size+1)
		if err != nil {
			return store.EventPage{}, err
		}
		rows = append(rows, found...)
		if stopped != nil && (stop == nil || compareNewestFirst(*stopped, *stop) < 0) {
			stop = stopped
		}
	}
	return eventPage(rows, stop, size, len(f.indexes) > 1), nil
}

func addTimeRange(w *where, q store.EventQuery) {
	if !q.From.IsZero() {
		w.add("happened_at >= %s", toMillis(q.From))
	}
	if !q.To.IsZero() {
		w.add("happened_at < %s", toMillis(q.To))
	}
}

// compareNewestFirst orders positions in the list: the newer one comes first.
func compareNewestFirst(a, b cursor) int {
	if c := cmp.Compare(b.Num, a.Num); c != 0 {
		return c
	}
	return strings.Compare(b.ID, a.ID)
}

// eventPage merges the results of the scans into a page. Rows after the position where a scan stopped early are left
// for the next page.
func eventPage(rows []store.Event, stop *cursor, size int, several bool) store.EventPage {
	if several {
		slices.SortFunc(rows, func(a, b store.Event) int { return compareNewestFirst(eventCursor(a), eventCursor(b)) })
		rows = slices.CompactFunc(rows, func(a, b store.Event) bool { return a.ID == b.ID })
	}
	if stop != nil {
		rows = slices.DeleteFunc(rows, func(e store.Event) bool { return compareNewestFirst(eventCursor(e), *stop) > 0 })
	}
	switch {
	case len(rows) > size:
		return store.EventPage{Items: rows[:size], Next: eventCursor(rows[size-1]).String()}
	case stop != nil:
		return store.EventPage{Items: rows, Next: stop.String(), Searched: fromMillis(stop.Num)}
	}
	return store.EventPage{Items: rows}
}
