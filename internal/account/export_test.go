package account

import "time"

// Later has s hand over what it would do later.
func Later(s *Service, later func(time.Duration, func())) { s.rateLimits.afterFunc = later }
