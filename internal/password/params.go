package password

import "fmt"

// Params are the cost parameters of argon2id (RFC 9106).
type Params struct {
	MemoryKiB uint32 // memory, in KiB
	Time      uint32 // passes over the memory
	Threads   uint8  // lanes computed in parallel
}

// DefaultParams is the cost of new hashes unless configured otherwise: memory and passes of the second choice of RFC
// 9106 section 4, on one lane because a server has other work for its cores.
var DefaultParams = Params{MemoryKiB: 64 * 1024, Time: 3, Threads: 1}

// MinParams is the minimum for a configuration (OWASP Password Storage Cheat Sheet).
var MinParams = Params{MemoryKiB: 19 * 1024, Time: 2, Threads: 1}

// Ceilings. They apply to the configuration and to stored hashes alike, so that no hash is created with parameters that
// Verify refuses.
const (
	maxMemoryKiB = 1 << 20 // 1 GiB
	maxTime      = 64
	maxThreads   = 64
	// maxWork limits memory times passes. Without it both ceilings together would take a minute of a core.
	maxWork = 4 << 20
)

// Validate returns an error for parameters that a configuration may not have. Its text is for the operator.
func (p Params) Validate() error {
	if p.MemoryKiB < MinParams.MemoryKiB || p.Time < MinParams.Time || p.Threads < MinParams.Threads {
		return fmt.Errorf("argon2id %s is too weak: use at least %s", p, MinParams)
	}
	if !p.withinCeilings() {
		return fmt.Errorf(
			"argon2id %s is too much: memory may be at most 1GiB, time %d, threads %d, and memory times time 4GiB",
			p, maxTime, maxThreads)
	}
	return nil
}

// String returns the parameters as the configuration writes them: memory, time, threads.
func (p Params) String() string {
	if p.MemoryKiB%1024 == 0 {
		return fmt.Sprintf("%dMiB %d %d", p.MemoryKiB/1024, p.Time, p.Threads)
	}
	return fmt.Sprintf("%dKiB %d %d", p.MemoryKiB, p.Time, p.Threads)
}

// withinCeilings also checks the lower limit of RFC 9106 section 3.1: at least 8 KiB per lane. The library would raise
// smaller values silently, and the hash would have been computed with other parameters than it says.
func (p Params) withinCeilings() bool {
	return p.Time >= 1 && p.Threads >= 1 &&
		p.MemoryKiB <= maxMemoryKiB && p.Time <= maxTime && p.Threads <= maxThreads &&
		uint64(p.MemoryKiB)*uint64(p.Time) <= maxWork &&
		p.MemoryKiB >= 8*uint32(p.Threads)
}
