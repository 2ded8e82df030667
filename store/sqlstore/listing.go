package sqlstore

import (
	"context"
	"errors"
	"strings"

	"github.com/gatehouse-auth/gatehouse/store"
)

// order is an order of rows: by one column, made total by the id.
type order struct {
	list   string // names the order in cursors
	key    string // the column, as queries write it
	id     string // the id's column
	isTime bool
	unique bool // the column needs no id beside it
	desc   bool
}

func (o order) clause() string {
	dir := ""
	if o.desc {
		dir = " DESC"
	}
	if o.unique {
		return " ORDER BY " + o.key + dir
	}
	return " ORDER BY " + o.key + dir + ", " + o.id + dir
}

func (o order) value(c cursor) any {
	if o.isTime {
		return c.Num
	}
	return c.Text
}

// after adds the condition that rows come after the cursor.
func (o order) after(w *where, c cursor) {
	cmp := ">"
	if o.desc {
		cmp = "<"
	}
	o.compare(w, cmp, c)
}

// until adds the condition that rows come no later than the cursor. The column alone is compared, too: SQLite ends
// its walk through an index by that and not by a pair of columns where another pair begins it.
func (o order) until(w *where, c cursor) {
	cmp := "<="
	if o.desc {
		cmp = ">="
	}
	w.add(o.key+" "+cmp+" %s", o.value(c))
	if !o.unique {
		o.compare(w, cmp, c)
	}
}

func (o order) compare(w *where, cmp string, c cursor) {
	if o.unique {
		w.add(o.key+" "+cmp+" %s", o.value(c))
		return
	}
	w.add("("+o.key+", "+o.id+") "+cmp+" (%s, %s)", o.value(c), c.ID)
}

// reach is how far a page may go. A row that is passed over costs some microseconds.
type reach struct {
	// walk are the entries of an index that a page passes over in search of rows, in steps: the first step is enough
	// where many rows match.
	walk []int
	// few rows that an index of texts has found are sorted after the first step, rather than looked for any further.
	few int
	// many is how many are sorted when the whole walk has not filled the page.
	many int
}

// pageReach bounds a page to about a tenth of a second where nothing helps.
var pageReach = reach{walk: []int{250, 10_000}, few: 1000, many: 20_000}

// listing is a list that is read page by page in an order that an index has.
type listing[T any] struct {
	op    string
	from  string // "FROM …" of the rows
	cols  string // what scan reads
	keys  string // "FROM …" of the table whose index has the order
	order order
	// index adds the conditions that the index answers by itself; nil for none.
	index func(w *where)
	// filter adds all others; nil: every entry of the index is a row of the list.
	filter func(w *where)
	// sets are subqueries that answer the ids of all rows which can match, each from an index of its own.
	sets []set
	scan func(scanner) (T, error)
	at   func(T) cursor
}

// set is a subquery without its limit. Its %s are the placeholders of values.
type set struct {
	query  string
	values []any
	ids    []string // all of them, where they are known already
}

// sheet is what a page holds: rows, and where to go on unless that is the end.
type sheet[T any] struct {
	rows    []T
	next    *cursor
	stopped bool // the search has not come to the end, nor filled the page
}

// page reads the page of at most size rows behind the cursor, which is nil for the first one.
func (l listing[T]) page(ctx context.Context, r reader, from *cursor, size int) (sheet[T], error) {
	rows, stop, err := l.read(ctx, r, from, size+1) // one more tells whether there is a next page
	if err != nil {
		return sheet[T]{}, err
	}
	p := sheet[T]{rows: rows, next: stop, stopped: stop != nil}
	if len(rows) > size {
		p.rows = rows[:size]
		next := l.at(rows[size-1])
		next.List = l.order.list
		p.next, p.stopped = &next, false
	}
	return p, nil
}

// read returns up to n rows behind the cursor, and where it stopped when it gave up before their number or the end.
func (l listing[T]) read(ctx context.Context, r reader, from *cursor, n int) (rows []T, stop *cursor, err error) {
	if l.filter == nil {
		rows, err = l.between(ctx, r, from, nil, nil, n)
		return rows, nil, err
	}
	// The few ids that an index finds at once need no walk.
	if found, ok, err := l.amongFew(ctx, r, from, min(maxIDs, r.reach.few), n); err != nil || ok {
		return found, nil, err
	}
	for i, steps := range r.reach.walk {
		bound, err := l.bound(ctx, r, from, steps)
		if err != nil {
			return nil, nil, err
		}
		found, err := l.between(ctx, r, from, bound, nil, n-len(rows))
		if err != nil {
			return nil, nil, err
		}
		if rows = append(rows, found...); bound == nil || len(rows) == n {
			return rows, nil, nil
		}
		from = bound
		limit := r.reach.few
		if i == len(r.reach.walk)-1 {
			limit = r.reach.many
		}
		if found, ok, err := l.amongFew(ctx, r, from, limit, n-len(rows)); err != nil || ok {
			return append(rows, found...), nil, err
		}
	}
	return rows, from, nil
}

// amongFew returns rows behind the cursor from a set of no more than limit ids, sorted; ok is false when there is none.
func (l listing[T]) amongFew(ctx context.Context, r reader, from *cursor, limit, n int) (rows []T, ok bool, err error) {
	few, err := r.fewest(ctx, l.op, l.sets, limit)
	if err != nil || few == nil {
		return nil, false, err
	}
	if few.ids != nil && len(few.ids) == 0 {
		return nil, true, nil
	}
	rows, err = l.between(ctx, r, from, nil, few, n)
	return rows, true, err
}

// fewest returns a set of no more than limit ids, nil when there is none.
func (r reader) fewest(ctx context.Context, op string, sets []set, limit int) (*set, error) {
	for _, s := range sets {
		if s.ids != nil {
			return &s, nil
		}
		n, err := r.measure(ctx, op, &s, limit)
		if err != nil {
			return nil, err
		}
		if n <= limit {
			return &s, nil
		}
	}
	return nil, nil
}

// measure returns how many ids a set has, as far as one more than limit, and keeps them where they are few enough to be
// given to the next query as they are: an index of texts is asked once then.
func (r reader) measure(ctx context.Context, op string, s *set, limit int) (int, error) {
	var w where
	query := s.limited(&w, limit+1)
	if limit > r.reach.few {
		return one(ctx, r, op, scanInt, `SELECT count(*) FROM (`+query+`) AS found`, w.args...)
	}
	ids, err := all(ctx, r, op, scanText, query, w.args...)
	if err == nil && len(ids) <= min(limit, maxIDs) {
		s.ids = append([]string{}, ids...)
	}
	return len(ids), err
}

// maxIDs bounds the ids that are given to a query one by one.
const maxIDs = 64

// holds writes the condition that a column is one of the set's ids, of which there are no more than limit.
func (s set) holds(w *where, column string, limit int) string {
	if s.ids == nil {
		return column + " IN (SELECT * FROM (" + s.limited(w, limit) + ") AS few)"
	}
	marks := make([]string, 0, maxIDs)
	for _, id := range s.padded() {
		marks = append(marks, w.arg(id))
	}
	return column + " IN (" + strings.Join(marks, ", ") + ")"
}

// padded returns the ids in one of two lengths, the last one again and again: each length is a statement to prepare.
func (s set) padded() []any {
	n := maxIDs
	if len(s.ids) <= 4 {
		n = 4
	}
	list := make([]any, n)
	for i := range list {
		list[i] = s.ids[min(i, len(s.ids)-1)]
	}
	return list
}

// of answers the set of a query whose last column has to be one of this set's ids.
func (s set) of(query string) set {
	if s.ids == nil {
		return set{query: query + ` IN (` + s.query + `)`, values: s.values}
	}
	ids := s.padded()
	return set{query: query + ` IN (%s` + strings.Repeat(", %s", len(ids)-1) + `)`, values: ids}
}

// limited writes the subquery. The limit also keeps PostgreSQL from walking the list's order instead.
func (s set) limited(w *where, limit int) string {
	var inner where
	inner.args = w.args
	inner.add(s.query, s.values...)
	query := inner.terms[0] + " LIMIT " + inner.arg(int64(limit))
	w.args = inner.args
	return query
}

// bound returns the entry of the index that many steps behind the cursor, nil when the index ends before.
func (l listing[T]) bound(ctx context.Context, r reader, from *cursor, steps int) (*cursor, error) {
	var w where
	if l.index != nil {
		l.index(&w)
	}
	if from != nil {
		l.order.after(&w, *from)
	}
	query := `SELECT ` + l.order.key + `, ` + l.order.id + ` ` + l.keys + w.String() + l.order.clause() +
		` LIMIT 1 OFFSET ` + w.arg(int64(steps-1))
	c, err := one(ctx, r, l.op, l.order.scan, query, w.args...)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &c, nil
}

func (o order) scan(s scanner) (cursor, error) {
	c := cursor{List: o.list}
	if o.isTime {
		return c, s.Scan(&c.Num, &c.ID)
	}
	err := s.Scan(&c.Text, &c.ID)
	return c, err
}

// between returns at most n rows behind one cursor and no later than the other one, each nil for the end of the list,
// in the order of the index or, with few, those of the set, sorted.
func (l listing[T]) between(ctx context.Context, r reader, from, to *cursor, few *set, n int) ([]T, error) {
	var w where
	by := l.order
	if few != nil {
		w.terms = append(w.terms, few.holds(&w, by.id, r.reach.many))
		by.key = r.dia.sorted(by)
	}
	for _, add := range []func(*where){l.index, l.filter} {
		if add != nil {
			add(&w)
		}
	}
	if from != nil {
		by.after(&w, *from)
	}
	if to != nil {
		by.until(&w, *to)
	}
	limit := w.arg(int64(n))
	return all(ctx, r, l.op, l.scan, `SELECT `+l.cols+` `+l.from+w.String()+by.clause()+` LIMIT `+limit, w.args...)
}

// place reads a cursor of the list; nil is the first page.
func (o order) place(text string) (*cursor, error) {
	c, ok, err := parseCursor(text, o.list)
	if err != nil || !ok {
		return nil, err
	}
	return &c, nil
}

// countTo counts the rows of "FROM … WHERE …" as far as one more than limit, or all of them for 0.
func (r reader) countTo(ctx context.Context, op, rows string, w where, limit int) (int, error) {
	if limit <= 0 {
		return one(ctx, r, op, scanInt, `SELECT count(*) `+rows+w.String(), w.args...)
	}
	end := w.arg(int64(limit) + 1)
	return one(ctx, r, op, scanInt, `SELECT count(*) FROM (SELECT 1 `+rows+w.String()+` LIMIT `+end+`) AS counted`, w.args...)
}
