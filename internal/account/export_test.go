package account

import "time"

// Later replaces time.AfterFunc in s.
func Later(s *Service, later func(time.Duration, func())) { s.rateLimits.afterFunc = later }
