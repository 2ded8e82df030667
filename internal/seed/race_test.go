package seed

import (
	"sync"
	"testing"

	"github.com/gatehouse-auth/gatehouse/store"
)

// startConcurrently starts several servers on one store at the same time, each with its own connections like a
// process.
func (e *env) startConcurrently(stores []*countingStore, mode Mode, v vars) {
	e.Helper()
	var begin, done sync.WaitGroup
	begin.Add(1)
	for _, st := range stores {
		values := e.parse(mode, v)
		done.Go(func() {
			begin.Wait()
			if _, err := Apply(e.Context(), st, values, e.hasher, Options{Clock: e.clock.Now, Log: e.log}); err != nil {
				e.Error(err)
			}
		})
	}
	begin.Done()
	done.Wait()
}

// Two servers that start at the same time on one store create one administrator, rotate once, and force once.
func TestConcurrentStartsActOnce(t *testing.T) {
	t.Parallel()
	for round := range 12 {
		e := newEnv(t)
		stores := []*countingStore{e.db, e.open(), e.open()}
		switch round % 2 {
		case 0:
			e.startConcurrently(stores, ModeSeed, vars{"ADMIN_PASSWORD": first})
			e.mustSignInWith("admin", first)
			epoch := e.user("admin").Epoch
			force := vars{"ADMIN_PASSWORD": second, "ADMIN_PASSWORD_FORCE_SYNC": "true"}
			e.startConcurrently(stores, ModeSeed, force)
			e.mustSignInWith("admin", second)
			if got := e.user("admin").Epoch; got != epoch+1 {
				t.Errorf("round %d: the epoch grew by %d", round, got-epoch)
			}
			e.mustStartWithoutWrites(ModeSeed, force)
		case 1:
			e.startConcurrently(stores, ModeManaged, rootVars)
			e.mustSignInWith("root", first)
			epoch := e.user("root").Epoch
			e.startConcurrently(stores, ModeManaged, rootVars.with(vars{"ADMIN_PASSWORD": second}))
			e.mustSignInWith("root", second)
			if got := e.user("root").Epoch; got != epoch+1 {
				t.Errorf("round %d: the epoch grew by %d", round, got-epoch)
			}
		}
		if n := e.countUsers(); n != 1 {
			t.Errorf("round %d: %d users", round, n)
		}
		if creates, resets := len(e.events("user.create")), len(e.events("password.reset")); creates != 1 || resets != 1 {
			t.Errorf("round %d: %d created, %d passwords set", round, creates, resets)
		}
	}
}

// Two servers with different environments must not lock each other out or leave the store without an administrator.
func TestConflictingStartsLeaveOneManagedAdministrator(t *testing.T) {
	t.Parallel()
	for range 5 {
		e := newEnv(t)
		stores := []*countingStore{e.db, e.open()}
		var done sync.WaitGroup
		for i, v := range []vars{
			rootVars.with(vars{"former": FormerDemote}),
			{"ADMIN_EMAIL": "b@example.com", "ADMIN_PASSWORD": second, "former": FormerDemote},
		} {
			values, st := e.parse(ModeManaged, v), stores[i]
			done.Go(func() {
				if _, err := Apply(e.Context(), st, values, e.hasher, Options{Clock: e.clock.Now}); err != nil {
					e.Error(err)
				}
			})
		}
		done.Wait()
		admins, err := e.db.ActiveAdmins(t.Context(), 0)
		if err != nil || len(admins) != 1 || !admins[0].Managed {
			t.Errorf("%d administrators, %v", len(admins), err)
		}
		if n, err := e.db.CountUsers(t.Context(), store.UserQuery{}); n != 2 || err != nil {
			t.Errorf("%d users, %v", n, err)
		}
	}
}
