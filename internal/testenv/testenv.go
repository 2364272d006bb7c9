// Package testenv starts private MariaDB, Mosquitto and Redis servers for tests and benchmarks: on free loopback
// ports, with their files in temporary folders. They end with the process that started them, even when it is killed. A
// server that already runs on the machine is not used. A missing binary fails the test, since a run without these servers
// would prove nothing; go test -short skips the tests that need a server.
package testenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startTimeout bounds the wait until a server listens on its port.
const startTimeout = 60 * time.Second

// process is a server that ends with this process. A shell starts it and reads a pipe that only this process has open. When
// this process ends, in whatever way, the pipe is closed, and the shell kills the server and removes its folder.
type process struct {
	mu    sync.Mutex
	cmd   *exec.Cmd
	stdin io.WriteCloser
	log   string
}

const wrapper = `dir=$1; shift
"$@" >>"$LOG" 2>&1 &
pid=$!
read -r word || word=end
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
[ "$word" = stop ] || rm -rf "$dir"`

func (p *process) start(dir, log string, argv ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log = log
	p.cmd = exec.Command("/bin/sh", append([]string{"-c", wrapper, "wrapper", dir}, argv...)...)
	p.cmd.Env = append(os.Environ(), "LOG="+log)
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	return p.cmd.Start()
}

// stop kills the server. With keep its folder stays, for a later start on the same data.
func (p *process) stop(keep bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	if keep {
		_, _ = io.WriteString(p.stdin, "stop\n")
	}
	_ = p.stdin.Close()
	_ = p.cmd.Wait()
	p.cmd = nil
}

func (p *process) tail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-2000):])
}

// Binary finds a server program, also in the sbin folders, which are not in every user's PATH.
func Binary(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin"} {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed: run make test, which installs what is missing", name)
}

// NeedServers skips the test with -short. What starts a server for a test calls it; a test that uses StartMariaDB does so itself.
func NeedServers(tb testing.TB) {
	tb.Helper()
	if testing.Short() {
		tb.Skip("-short: no servers")
	}
}

func binary(tb testing.TB, name string) string {
	tb.Helper()
	NeedServers(tb)
	path, err := Binary(name)
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

// FreePort returns a loopback TCP port that is free at the moment. It is below the range for outgoing connections (32768 and
// up), one of which could take it before the server starts.
func FreePort() (int, error) {
	for {
		port := 10_000 + rand.IntN(22_000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		switch {
		case err == nil:
			return port, l.Close()
		case !errors.Is(err, syscall.EADDRINUSE):
			return 0, err
		}
	}
}

// tempDir creates a folder outside of t.TempDir: a server that all tests of a process share outlives the test that started
// it.
func tempDir(name string) (string, error) {
	return os.MkdirTemp("", "jdpay-"+name+"-")
}

// waitTCP waits until a server accepts connections on addr.
func waitTCP(ctx context.Context, addr string, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var d net.Dialer
	for {
		c, err := d.DialContext(ctx, "tcp", addr)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s does not accept connections after %s: %w; its log ends:\n%s", addr, startTimeout, err, p.tail()), ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
