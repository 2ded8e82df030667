package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/session"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlstore"
)

// addSessions creates n sessions in the store of a stopped Caddy, and returns their Cookie headers.
func addSessions(ctx context.Context, path string, n int) ([]string, error) {
	db, err := sqlstore.Open(ctx, sqlstore.Options{Engine: sqlstore.EngineSQLite, Path: path})
	if err != nil {
		return nil, err
	}
	m := session.NewManager(db, session.Options{})
	defer m.Close()
	cookies := make([]string, 0, n)
	now := time.Now().UTC().Truncate(time.Millisecond)
	for len(cookies) < n && err == nil {
		err = db.Change(ctx, func(tx store.Tx) error {
			for end := min(len(cookies)+5000, n); len(cookies) < end; {
				u := store.User{
					ID: store.NewID(now), Username: fmt.Sprintf("user%07d", len(cookies)),
					Email: fmt.Sprintf("user%07d@example.com", len(cookies)),
					Name:  "Somebody", Role: store.RoleUser, Active: true, Local: true, Origin: store.OriginLocal, CreatedAt: now, UpdatedAt: now,
				}
				if err := tx.CreateUser(ctx, u); err != nil {
					return err
				}
				token, _, err := m.Start(ctx, tx, session.StartOptions{
					User: u, Limits: session.DefaultLimits, Method: "password",
					AuthAt: time.Now(), IP: "192.0.2.1", UserAgent: userAgent,
				})
				if err != nil {
					return err
				}
				cookies = append(cookies, "gatehouse="+token)
			}
			return nil
		})
	}
	if closed := db.Close(); err == nil {
		err = closed
	}
	return cookies, err
}

// eachOnce sends one request with each cookie.
func eachOnce(ctx context.Context, srv *server, cookies []string) error {
	const conns = 16
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: conns, DisableCompression: true}}
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	failed := make(chan error, conns)
	for c := range conns {
		wg.Go(func() {
			for i := c; i < len(cookies); i += conns {
				if err := (target{server: srv, cookie: cookies[i], status: http.StatusOK}).ask(ctx, client); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}
