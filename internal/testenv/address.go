package testenv

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// Address returns host:port of 127.0.0.1 for a Caddy to listen on. The port is kept until the test ends: a socket is bound
// to it that does not listen, so that no other program and no outgoing connection gets the port. Caddy does, as it shares
// its ports with whoever wants to (SO_REUSEPORT) and is run by the same user, and so does the next one after a stop.
func Address(t testing.TB) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.CloseOnExec(fd)
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
}
