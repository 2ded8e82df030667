package testenv

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Address returns host:port of 127.0.0.1 for a server to listen on; see [Reserve].
func Address(t testing.TB) string {
	t.Helper()
	addr, release, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return addr.String()
}

// Reserve keeps a free port of 127.0.0.1 until release is called or the process ends: a socket is bound to it that does
// not listen, so that no other program and no outgoing connection is given the port. A server that asks for just this
// port gets it, also again after a stop, since it sets SO_REUSEADDR as all of them do (PostgreSQL, PgBouncer, Node.js),
// or SO_REUSEPORT as well (Caddy). Only Linux is content with that: elsewhere the port is free again at once.
func Reserve() (addr *net.TCPAddr, release func(), err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("reserve a port: %w", err)
	}
	unix.CloseOnExec(fd)
	release = sync.OnceFunc(func() { _ = unix.Close(fd) })
	local := [4]byte{127, 0, 0, 1}
	err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1), unix.Bind(fd, &unix.SockaddrInet4{Addr: local}))
	name, nameErr := unix.Getsockname(fd)
	bound, ok := name.(*unix.SockaddrInet4)
	if err = errors.Join(err, nameErr); err != nil || !ok {
		release()
		return nil, nil, fmt.Errorf("reserve a port: %w", err)
	}
	if runtime.GOOS != "linux" {
		release()
	}
	return &net.TCPAddr{IP: local[:], Port: bound.Port}, release, nil
}
