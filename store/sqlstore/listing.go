package sqlstore

import (
	"context"
	"errors"
	"strings"

	"github.com/gatehouse-auth/gatehouse/store"
)

// order is an order of rows: by one column, with the id as tie-breaker.
type order struct {
	list   string // names the order in cursors
	key    string // the column, as written in queries
	id     string // the id's column
	isTime bool
	unique bool // the column is unique: no tie-breaker
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

// until adds the condition that rows come no later than the cursor. The column alone is compared, too: SQLite does
// not use a pair of columns as upper bound of an index scan whose lower bound is another pair.
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

// searchBudget bounds the work for a page. A skipped row costs some microseconds.
type searchBudget struct {
	// scanSteps are the numbers of index entries that a page scans, in steps: the first step is enough if many rows
	// match.
	scanSteps []int
	// firstSort is the maximum number of rows from a text index that are sorted after the first step instead of scanning
	// on.
	firstSort int
	// lastSort is that maximum after the last step.
	lastSort int
}

// defaultBudget bounds a page to about a tenth of a second in the worst case.
var defaultBudget = searchBudget{scanSteps: []int{250, 10_000}, firstSort: 1000, lastSort: 20_000}

// listing is a paginated list in the order of an index.
type listing[T any] struct {
	op    string
	from  string // "FROM …" of the rows
	cols  string // what scan reads
	keys  string // "FROM …" of the table whose index has the order
	order order
	// index adds the conditions that the index covers; nil for none.
	index func(w *where)
	// filter adds all others; nil: every entry of the index is a row of the list.
	filter func(w *where)
	// sets are subqueries for the ids of all rows that can match, each from its own index.
	sets     []set
	scan     func(scanner) (T, error)
	cursorOf func(T) cursor
}

// set is a subquery without its limit. Its %s are the placeholders of values.
type set struct {
	query  string
	values []any
	ids    []string // all ids, if known
}

// pageResult holds the rows of a page and the cursor of the next one, nil at the end.
type pageResult[T any] struct {
	rows    []T
	next    *cursor
	partial bool // the search stopped before the page was full
}

// page reads the page of at most size rows after the cursor, which is nil for the first page.
func (l listing[T]) page(ctx context.Context, r reader, from *cursor, size int) (pageResult[T], error) {
	rows, stop, err := l.read(ctx, r, from, size+1) // one more row shows whether there is a next page
	if err != nil {
		return pageResult[T]{}, err
	}
	p := pageResult[T]{rows: rows, next: stop, partial: stop != nil}
	if len(rows) > size {
		p.rows = rows[:size]
		next := l.cursorOf(rows[size-1])
		next.List = l.order.list
		p.next, p.partial = &next, false
	}
	return p, nil
}

// read returns up to n rows after the cursor, and the position where it stopped if it used up its budget before.
func (l listing[T]) read(ctx context.Context, r reader, from *cursor, n int) (rows []T, stop *cursor, err error) {
	if l.filter == nil {
		rows, err = l.between(ctx, r, from, nil, nil, n)
		return rows, nil, err
	}
	// A small set of ids from an index needs no scan.
	if found, ok, err := l.fromSmallSet(ctx, r, from, min(maxIDs, r.budget.firstSort), n); err != nil || ok {
		return found, nil, err
	}
	for i, steps := range r.budget.scanSteps {
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
		limit := r.budget.firstSort
		if i == len(r.budget.scanSteps)-1 {
			limit = r.budget.lastSort
		}
		if found, ok, err := l.fromSmallSet(ctx, r, from, limit, n-len(rows)); err != nil || ok {
			return append(rows, found...), nil, err
		}
	}
	return rows, from, nil
}

// fromSmallSet returns sorted rows after the cursor from a set of at most limit ids; ok is false if there is no such
// set.
func (l listing[T]) fromSmallSet(ctx context.Context, r reader, from *cursor,
	limit, n int,
) (rows []T, ok bool, err error) {
	few, err := r.firstSmallSet(ctx, l.op, l.sets, limit)
	if err != nil || few == nil {
		return nil, false, err
	}
	if few.ids != nil && len(few.ids) == 0 {
		return nil, true, nil
	}
	rows, err = l.between(ctx, r, from, nil, few, n)
	return rows, true, err
}

// firstSmallSet returns the first set of at most limit ids, nil if there is none.
func (r reader) firstSmallSet(ctx context.Context, op string, sets []set, limit int) (*set, error) {
	for _, s := range sets {
		if s.ids != nil {
			return &s, nil
		}
		n, err := r.countSet(ctx, op, &s, limit)
		if err != nil {
			return nil, err
		}
		if n <= limit {
			return &s, nil
		}
	}
	return nil, nil
}

// countSet returns how many ids a set has, up to limit+1, and stores them in s if they are few enough to be passed to
// the next query directly: then the text index is queried only once.
func (r reader) countSet(ctx context.Context, op string, s *set, limit int) (int, error) {
	var w where
	query := s.limited(&w, limit+1)
	if limit > r.budget.firstSort {
		return one(ctx, r, op, scanInt, `SELECT count(*) FROM (`+query+`) AS found`, w.args...)
	}
	ids, err := all(ctx, r, op, scanText, query, w.args...)
	if err == nil && len(ids) <= min(limit, maxIDs) {
		s.ids = append([]string{}, ids...)
	}
	return len(ids), err
}

// maxIDs bounds the ids that are passed to a query as arguments.
const maxIDs = 64

// inCondition returns the condition that a column is one of the set's at most limit ids.
func (s set) inCondition(w *where, column string, limit int) string {
	if s.ids == nil {
		return column + " IN (SELECT * FROM (" + s.limited(w, limit) + ") AS few)"
	}
	marks := make([]string, 0, maxIDs)
	for _, id := range s.padded() {
		marks = append(marks, w.arg(id))
	}
	return column + " IN (" + strings.Join(marks, ", ") + ")"
}

// padded returns the ids padded to one of two lengths by repeating the last one, so that only two statements are
// prepared.
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

// within returns the set of a query whose last column has to be one of this set's ids.
func (s set) within(query string) set {
	if s.ids == nil {
		return set{query: query + ` IN (` + s.query + `)`, values: s.values}
	}
	ids := s.padded()
	return set{query: query + ` IN (%s` + strings.Repeat(", %s", len(ids)-1) + `)`, values: ids}
}

// limited returns the subquery with a limit, which also keeps PostgreSQL from scanning in the order of the list
// instead.
func (s set) limited(w *where, limit int) string {
	var inner where
	inner.args = w.args
	inner.add(s.query, s.values...)
	query := inner.terms[0] + " LIMIT " + inner.arg(int64(limit))
	w.args = inner.args
	return query
}

// bound returns the index entry that many steps after the cursor, nil if the index ends before.
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

// between returns at most n rows after one cursor and up to the other one (nil means no bound), in the order of the
// index or, with few, sorted from that set.
func (l listing[T]) between(ctx context.Context, r reader, from, to *cursor, few *set, n int) ([]T, error) {
	var w where
	by := l.order
	if few != nil {
		w.terms = append(w.terms, few.inCondition(&w, by.id, r.budget.lastSort))
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

// parseCursor reads a cursor of the list; nil is the first page.
func (o order) parseCursor(text string) (*cursor, error) {
	c, ok, err := parseCursor(text, o.list)
	if err != nil || !ok {
		return nil, err
	}
	return &c, nil
}

// countTo counts the rows of "FROM … WHERE …" up to limit+1, or all of them for 0.
func (r reader) countTo(ctx context.Context, op, rows string, w where, limit int) (int, error) {
	if limit <= 0 {
		return one(ctx, r, op, scanInt, `SELECT count(*) `+rows+w.String(), w.args...)
	}
	end := w.arg(int64(limit) + 1)
	return one(ctx, r, op, scanInt, `SELECT count(*) FROM (SELECT 1 `+rows+w.String()+` LIMIT `+end+`) AS counted`,
		w.args...)
}
