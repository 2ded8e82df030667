//go:build !linux

package testenv

import "syscall"

// dieWithParent is not supported on this system.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
