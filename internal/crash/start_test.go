package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/storecopy"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// start starts on a store like Caddy: the check, which must change nothing, and the opening. fn gets the open store.
func start(ctx context.Context, dir string, fn func(db *sqlstore.DB) error) error {
	before, err := everything(dir)
	if err != nil {
		return err
	}
	opts := options(filepath.Join(dir, storeName))
	if err := sqlstore.Check(ctx, opts); err != nil {
		return fmt.Errorf("the check refuses it: %w", err)
	}
	after, err := everything(dir)
	if err != nil {
		return err
	}
	if !maps.EqualFunc(before, after, bytes.Equal) {
		return errors.New("the check changed something")
	}
	if err := with(ctx, opts, fn); err != nil {
		return fmt.Errorf("starting: %w", err)
	}
	return nil
}

func everything(dir string) (files, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	all := make(files)
	for _, e := range entries {
		if all[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// checkWhole checks everything in a store.
func checkWhole(ctx context.Context, db *sqlstore.DB) error {
	report, err := storecopy.Check(ctx, side(db))
	if err != nil {
		return err
	}
	for _, f := range report.Findings {
		if f.Check != "no administrator" { // not created yet
			return fmt.Errorf("%s: %s", f.Check, f.Detail)
		}
	}
	return nil
}

// checkAcks checks that everything acknowledged is there, and that no ended session is valid.
func checkAcks(ctx context.Context, db *sqlstore.DB, acks []note) error {
	settings := make(map[string]string)
	sessions := make(map[string]string) // token → begun, ending (both results are allowed) or ended
	for _, a := range acks {
		what, name, _ := strings.Cut(a.Name, " ")
		if what == "setting" {
			settings[name] = string(a.Data)
		} else {
			sessions[name] = what
		}
	}
	for name, want := range settings {
		got, err := db.Setting(ctx, name)
		if err != nil || !isAtLeast(got, want) {
			return fmt.Errorf("the setting %s is %q, %w; %q was acknowledged", name, got, err, want)
		}
	}
	for token, state := range sessions {
		_, _, err := db.SessionByToken(ctx, store.HashToken(token))
		switch {
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return err
		case state == "begun" && err != nil:
			return errors.New("a session that was acknowledged is gone")
		case state == "ended" && err == nil:
			return errors.New("a session that was ended is alive")
		}
	}
	return nil
}

// isAtLeast reports whether a value is the acknowledged one, or a later number: a commit happens before it is
// acknowledged.
func isAtLeast(got, want string) bool {
	a, errA := strconv.Atoi(got)
	b, errB := strconv.Atoi(want)
	return got == want || errA == nil && errB == nil && a >= b
}

// hasContent checks that a store holds one complete content: the mark and that many users whose names begin with it.
func hasContent(ctx context.Context, db *sqlstore.DB, contents map[string]int) error {
	mark, err := db.Setting(ctx, "mark")
	if errors.Is(err, store.ErrNotFound) {
		mark, err = "", nil
	}
	if err != nil {
		return err
	}
	want, ok := contents[mark]
	if !ok {
		return fmt.Errorf("the mark is %q", mark)
	}
	page, err := db.Users(ctx, store.UserQuery{Limit: 1000})
	if err != nil {
		return err
	}
	strange := slices.ContainsFunc(page.Items, func(u store.User) bool { return !strings.HasPrefix(u.Username, mark) })
	if len(page.Items) != want || strange {
		return fmt.Errorf("%d accounts with the mark %q, want %d; others among them: %v", len(page.Items), mark, want,
			strange)
	}
	return nil
}

// checkMoment starts on the files of a moment and checks the content.
func checkMoment(ctx context.Context, r recording, dir string, acks []note) error {
	contents := map[string]map[string]int{
		"restore": {"old": 60, "new": 40},
		"move":    {"": 0, "source": 40}, "resumed move": {"source": 40},
		"migration": nil, "new store": nil, "commits": nil,
	}[r.name]
	err := start(ctx, dir, func(db *sqlstore.DB) error {
		if err := errors.Join(checkWhole(ctx, db), checkAcks(ctx, db, acks)); err != nil {
			return err
		}
		if r.name == "migration" {
			return migrated(ctx, db)
		}
		if contents == nil {
			return nil
		}
		return hasContent(ctx, db, contents)
	})
	if !strings.HasSuffix(r.name, "move") {
		return err
	}
	if err != nil && (!errors.Is(err, sqlstore.ErrIncomplete) ||
		!strings.Contains(err.Error(), `run the same "store migrate" again`)) {
		return err
	}
	if err == nil && len(acks) > 0 {
		return nil // the move is complete; another one would be refused, since the target is not empty
	}
	if err := moveAgain(ctx, dir); err != nil {
		return fmt.Errorf("moving again: %w", err)
	}
	return start(ctx, dir, func(db *sqlstore.DB) error {
		return errors.Join(checkWhole(ctx, db), hasContent(ctx, db, map[string]int{"source": 40}))
	})
}

// moveAgain runs a move again. If the first one had completed before the kill, it returns ErrNotEmpty.
func moveAgain(ctx context.Context, dir string) error {
	err := move(ctx, dir, nil)
	if errors.Is(err, storecopy.ErrNotEmpty) {
		return nil
	}
	return err
}

// migrated checks the accounts from before the migration, by the index that it created.
func migrated(ctx context.Context, db *sqlstore.DB) error {
	page, err := db.Users(ctx, store.UserQuery{Text: "username77", Limit: 10})
	switch {
	case err != nil:
		return fmt.Errorf("asking the index: %w", err)
	case len(page.Items) != 1:
		return fmt.Errorf("the index finds %d accounts", len(page.Items))
	}
	n, err := db.CountUsers(ctx, store.UserQuery{Limit: 1000})
	if err != nil || n != 150 {
		return fmt.Errorf("%d accounts, %w", n, err)
	}
	_, err = db.Sweep(ctx, time.Now(), 0, 10) // and the store is writable
	return err
}
