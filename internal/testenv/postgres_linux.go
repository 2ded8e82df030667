package testenv

import "syscall"

// dieWithParent lets the kernel stop the server when the test process is killed.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT} }
