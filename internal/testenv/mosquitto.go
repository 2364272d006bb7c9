package testenv

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Broker is a private Mosquitto.
type Broker struct {
	Host string
	Port int
	dir  string
	argv []string
	proc process
}

// Mosquitto starts a broker for the test, which stops with it. Extra lines are appended to its configuration; with a line that begins "listener" the plain listener is left out and Port is only reserved for it.
func Mosquitto(tb testing.TB, extra ...string) *Broker {
	tb.Helper()
	binary(tb, "mosquitto")
	b, err := StartMosquitto(extra...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(b.Close)
	return b
}

// StartMosquitto is Mosquitto for callers without a test, such as the benchmark. In an extra line, {port} is
// replaced by the broker's port.
func StartMosquitto(extra ...string) (*Broker, error) {
	server, err := Binary("mosquitto")
	if err != nil {
		return nil, err
	}
	dir, err := tempDir("mosquitto")
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	b := &Broker{Host: "127.0.0.1", Port: port, dir: dir}
	lines := []string{"persistence false", "max_queued_messages 0", "max_inflight_messages 0", "allow_anonymous true", "set_tcp_nodelay true", "user root"}
	ownListener := false
	for _, line := range extra {
		ownListener = ownListener || strings.HasPrefix(line, "listener")
		lines = append(lines, strings.ReplaceAll(line, "{port}", strconv.Itoa(port)))
	}
	if !ownListener {
		lines = append(lines, fmt.Sprintf("listener %d 127.0.0.1", port))
	}
	conf := filepath.Join(dir, "mosquitto.conf")
	if err := os.WriteFile(conf, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return nil, err
	}
	b.argv = []string{server, "-c", conf}
	if err := b.start(); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

func (b *Broker) start() error {
	if err := b.proc.start(b.dir, filepath.Join(b.dir, "log"), b.argv...); err != nil {
		return err
	}
	return waitTCP(context.Background(), b.Addr(), &b.proc)
}

// Addr is host:port.
func (b *Broker) Addr() string { return net.JoinHostPort(b.Host, strconv.Itoa(b.Port)) }

// Stop kills the broker; Start starts it on the same port.
func (b *Broker) Stop() { b.proc.stop(true) }

// Start starts a stopped broker.
func (b *Broker) Start(tb testing.TB) {
	tb.Helper()
	if err := b.start(); err != nil {
		tb.Fatal(err)
	}
}

// Close stops the broker and removes its folder.
func (b *Broker) Close() {
	b.proc.stop(false)
	os.RemoveAll(b.dir)
}
