package login

import (
	"sync"
	"time"

	"go.uber.org/zap"
)

// logRefused logs a wrong or throttled attempt at a password, for tools such as fail2ban: the fields are documented and
// come in this order. Nothing that a stranger typed is among them; user is the name of an account, "" for an unknown
// one.
func (s *Service) logRefused(c Client, method, user string, err error) {
	outcome := outcomeOf(err)
	switch outcome {
	case "wrong", "disabled":
	case "throttled":
		// A stranger decides how many of these there are, without a bound.
		if !s.refused.admit(ClientKey(c.IP), s.Clock()) {
			return
		}
	default: // our own fault, or logged elsewhere
		return
	}
	fields := []zap.Field{
		zap.String("ip", c.ip()), zap.String("outcome", outcome), zap.String("method", method),
		zap.String("request_id", c.RequestID),
	}
	if user != "" {
		fields = append(fields, zap.String("user", user))
	}
	s.Log.Warn("sign-in refused", fields...)
}

// refusedLog rate-limits the lines about throttled attempts, for each client by itself: a flood from one must not hide
// another.
type refusedLog struct {
	mu   sync.Mutex
	last map[string]time.Time // by [ClientKey]
}

const (
	refusedLogEvery = time.Second
	refusedLogMost  = 4096 // clients to remember
)

func (l *refusedLog) admit(client string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last, ok := l.last[client]; ok && now.Sub(last) < refusedLogEvery {
		return false
	}
	if len(l.last) >= refusedLogMost || l.last == nil {
		l.last = make(map[string]time.Time)
	}
	l.last[client] = now
	return true
}
