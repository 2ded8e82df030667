package caddyauth

import (
	"fmt"
	"math"
	"strconv"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"

	"github.com/gatehouse-auth/gatehouse/internal/password"
)

// PasswordConfig bounds passwords and the cost of their hashes.
type PasswordConfig struct {
	// MinLength in characters; default 12, never under 8.
	MinLength int `json:"min_length,omitempty"`
	// Argon2id is the cost of a password hash; default 64 MiB, 3, 1.
	Argon2id *Argon2idConfig `json:"argon2id,omitempty"`
}

// Argon2idConfig is the cost of a password hash (RFC 9106, section 3.1). Never under 19 MiB, 2, 1.
type Argon2idConfig struct {
	// MemoryKiB is the memory in KiB.
	MemoryKiB uint32 `json:"memory_kib,omitempty"`
	// Time is the number of passes.
	Time uint32 `json:"time,omitempty"`
	// Threads is the degree of parallelism.
	Threads uint8 `json:"threads,omitempty"`
}

// passwordOptions are the rules for new passwords and the cost of their hashes.
type passwordOptions struct {
	hash   password.Params
	policy password.Policy
}

func parsePassword(a *App, d *caddyfile.Dispenser) error {
	if err := noArgs(d); err != nil {
		return err
	}
	a.Password = &PasswordConfig{}
	return block(d, func(option string) error {
		switch option {
		case "min_length":
			n, err := countArg(d)
			if err != nil {
				return err
			}
			a.Password.MinLength = n
			return a.check(d, resolvePassword)
		case "argon2id":
			c, err := parseArgon2id(d)
			if err != nil {
				return err
			}
			a.Password.Argon2id = c
			return a.check(d, resolvePassword)
		}
		return d.Errf("unrecognized option %q; password knows min_length and argon2id", option)
	})
}

func parseArgon2id(d *caddyfile.Dispenser) (*Argon2idConfig, error) {
	var memory, passes, threads string
	if !d.AllArgs(&memory, &passes, &threads) {
		return nil, d.Err("argon2id takes memory, time and threads, such as: argon2id 64MiB 3 1")
	}
	bytes, err := humanize.ParseBytes(memory)
	if err != nil || bytes>>10 > math.MaxUint32 {
		return nil, d.Errf("argon2id: %q is not a size; write for example 64MiB", memory)
	}
	t, err := strconv.ParseUint(passes, 10, 32)
	if err != nil {
		return nil, d.Errf("argon2id: time %q is not a whole number", passes)
	}
	p, err := strconv.ParseUint(threads, 10, 8)
	if err != nil {
		return nil, d.Errf("argon2id: threads %q is not a whole number up to 255", threads)
	}
	return &Argon2idConfig{MemoryKiB: uint32(bytes >> 10), Time: uint32(t), Threads: uint8(p)}, nil
}

func resolvePassword(a *App, o *options) error {
	o.hash, o.policy = password.DefaultParams, password.Policy{MinLength: 12}
	c := a.Password
	if c == nil {
		return nil
	}
	if c.MinLength != 0 {
		if c.MinLength < 8 || c.MinLength > 128 {
			return fmt.Errorf("password min_length: %d; use 8 to 128", c.MinLength)
		}
		o.policy.MinLength = c.MinLength
	}
	if c.Argon2id != nil {
		o.hash = password.Params{MemoryKiB: c.Argon2id.MemoryKiB, Time: c.Argon2id.Time, Threads: c.Argon2id.Threads}
		if err := o.hash.Validate(); err != nil {
			return fmt.Errorf("password argon2id: %w", err)
		}
	}
	return nil
}

func passwordSettings(a *App, s *settings) {
	s.add("password", "min_length", strconv.Itoa(a.opt.policy.MinLength), a.Password == nil || a.Password.MinLength == 0)
	s.add("password", "argon2id", a.opt.hash.String(), a.Password == nil || a.Password.Argon2id == nil)
}
