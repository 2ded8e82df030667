//go:build !linux

package testenv

import "syscall"

// dieWithParent can promise nothing on this system.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
