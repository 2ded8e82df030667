package testenv

import "syscall"

// dieWithParent lets the kernel end the server when the test process is killed and cannot do it.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT} }
