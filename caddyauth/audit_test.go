package caddyauth_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// The retention of the audit log is in the configuration: it acts at once, the pages show it, and changing it is in the
// log itself, once for each change.
func TestRetentionActsIsShownAndIsAudited(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	b := s.browser()
	b.signIn(adminName, adminPass)
	st := s.openStore()
	old := store.Event{ID: store.NewID(time.Now()), Time: time.Now().Add(-72 * time.Hour), Action: "a.b", Actor: "someone"}
	young := store.Event{ID: store.NewID(time.Now()), Time: time.Now().Add(-47 * time.Hour), Action: "a.b", Actor: "someone"}
	if err := st.AddEvents(t.Context(), old, young); err != nil {
		t.Fatal(err)
	}
	reload := func(global, setting, lead string) {
		t.Helper()
		s.global = global
		if err := s.load(); err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]string{"/_auth/admin/settings": setting, "/_auth/admin/audit": lead} {
			if a := b.page(path); a.StatusCode != http.StatusOK || !strings.Contains(a.body, want) {
				t.Errorf("%q: %s does not tell %q: %d", global, path, want, a.StatusCode)
			}
		}
	}
	wantAudited := func(want ...string) {
		t.Helper()
		eventually(t, fmt.Sprintf("the log to tell %v", want), func() bool { return fmt.Sprint(retentionEvents(t, st)) == fmt.Sprint(want) })
	}
	reload("", ">forever<", "kept for good")
	wantAudited()
	if _, err := st.Event(t.Context(), old.ID); err != nil {
		t.Fatalf("an old entry is gone although all are kept: %v", err)
	}
	reload("audit {\n\tkeep 48h\n}", ">2d<", "kept for 2 days")
	wantAudited("forever to 2d")
	eventually(t, "the old entry to go", func() bool {
		_, err := st.Event(t.Context(), old.ID)
		return errors.Is(err, store.ErrNotFound)
	})
	if _, err := st.Event(t.Context(), young.ID); err != nil {
		t.Errorf("an entry is gone before its time: %v", err)
	}
	reload("audit {\n\tkeep 2d\n}", ">2d<", "kept for 2 days")
	for range 5 { // a stop is no change
		if err := s.restart(); err != nil {
			t.Fatal(err)
		}
	}
	wantAudited("forever to 2d")
	reload("audit {\n\tkeep forever\n}", ">forever<", "kept for good")
	wantAudited("2d to forever", "forever to 2d")
}

// retentionEvents returns the changes of the retention in the audit log, the newest first.
func retentionEvents(t *testing.T, st store.Store) (events []string) {
	t.Helper()
	page, err := st.Events(t.Context(), store.EventQuery{Action: "audit.keep"})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Items {
		if e.Actor != "start-up" || e.Outcome != store.Success {
			t.Errorf("%+v", e)
		}
		events = append(events, e.Details["before.keep"]+" to "+e.Details["after.keep"])
	}
	return events
}

// A configuration that Caddy refuses, whichever app of it fails first, deletes nothing.
func TestARefusedReloadDeletesNoAuditEntry(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	st := s.openStore()
	old := store.Event{ID: store.NewID(time.Now()), Time: time.Now().Add(-72 * time.Hour), Action: "a.b", Actor: "someone"}
	if err := st.AddEvents(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	good, site := s.global, s.site
	for range 6 { // apps start in no order
		s.global = good + "\naudit {\n\tkeep 48h\n}"
		s.site = site + "\n}\nhttp://" + taken.Addr().String() + " {\n\tbind 127.0.0.1"
		if s.load() == nil {
			t.Fatal("a configuration with an address in use was loaded")
		}
	}
	s.global, s.site = good, site
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond) // waits: to see that nothing is deleted; a sweep is asked for at once, and takes milliseconds
	if _, err := st.Event(t.Context(), old.ID); err != nil {
		t.Errorf("the old entry: %v", err)
	}
	if events := retentionEvents(t, st); len(events) > 0 {
		t.Errorf("the log has a change that was never in force: %v", events)
	}
}

// Refused sign-ins are written in batches, sign-ins at once: the log has them as they happened all the same.
func TestEventsKeepTheirOrderAcrossBatches(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	b := s.browser()
	for range 3 {
		if a := b.post("/_auth/login", "username", adminName, "password", "wrong"); a.StatusCode != http.StatusUnauthorized {
			t.Fatalf("a wrong password: %d", a.StatusCode)
		}
	}
	if a := b.signIn(adminName, adminPass); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("the right password: %d", a.StatusCode)
	}
	st := s.openStore()
	eventually(t, "four entries in order", func() bool {
		page, err := st.Events(t.Context(), store.EventQuery{Action: "session.sign_in"})
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for i, e := range page.Items {
			list = append(list, string(e.Outcome))
			if i > 0 && e.ID >= page.Items[i-1].ID {
				t.Fatalf("the ids are not in the order of time: %+v", page.Items)
			}
		}
		return strings.Join(list, " ") == "success failure failure failure"
	})
}
