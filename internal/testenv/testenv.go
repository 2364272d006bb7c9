// Package testenv starts private MariaDB, Mosquitto and Redis servers for tests and benchmarks: on free loopback
// ports, with their files in temp folders, and gone with the process that asked for them, even when that process is
// killed. It never touches a server that already runs on the machine. A missing binary fails the test: the project's
// promises are about these servers, so a run without them would prove nothing.
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

// startLimit bounds the wait for a server to answer on its port; a cold machine needs seconds, not minutes.
const startLimit = 60 * time.Second

// process is a server that dies with us. A shell stands between: it reads a pipe that only this process holds open,
// so that the end of this process, however it ends, closes the pipe and makes the shell kill the server and remove
// its folder.
type process struct {
	mu    sync.Mutex
	cmd   *exec.Cmd
	stdin io.WriteCloser
	log   string
}

const keeper = `dir=$1; shift
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
	p.cmd = exec.Command("/bin/sh", append([]string{"-c", keeper, "keeper", dir}, argv...)...)
	p.cmd.Env = append(os.Environ(), "LOG="+log)
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	return p.cmd.Start()
}

// stop kills the server. Its folder stays when keep is true, for a later start on the same data.
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

// Binary finds a server program, also in the sbin folders that a plain user's PATH lacks.
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

func binary(tb testing.TB, name string) string {
	tb.Helper()
	path, err := Binary(name)
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

// FreePort returns a loopback TCP port that nobody listened on a moment ago. It is none of those that the system gives to
// outgoing connections (32768 and up): a server that is started only later, or again, would find it taken.
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

// tempDir is a folder outside of t.TempDir: a server shared by all tests of a process outlives the test that
// happened to start it.
func tempDir(name string) (string, error) {
	return os.MkdirTemp("", "jdpay-"+name+"-")
}

// waitTCP waits until something accepts on addr.
func waitTCP(ctx context.Context, addr string, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var d net.Dialer
	for {
		c, err := d.DialContext(ctx, "tcp", addr)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s did not come up in %s: %w; its log ends:\n%s", addr, startLimit, err, p.tail()), ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
